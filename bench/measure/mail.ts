import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInbox } from '../../src/inbox/inbox.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { silentLog } from '../../src/platform/log.ts';
import { scanFile } from '../../src/sources/todo/scan.ts';
import { enrol } from '../../src/store/nodes.ts';
import type { Place } from '../support/bench.ts';
import { summary, timed } from '../support/stats.ts';
import { type Opened, openQueue, wish } from './open.ts';

export interface MailSizes {
  readonly place: Place;
  readonly arrivals: number;
  readonly messages: number;
  readonly todoItems: number;
}

export interface MailFigures {
  /** From what is on disk to the claim of its task. */
  readonly claimP50: number;
  readonly claimP99: number;
  readonly messagesPerSecond: number;
  readonly scanMs: number;
  readonly rescanMs: number;
  readonly editMs: number;
}

const node = 'nod_bench';
const newId = createIds(systemClock);

/** What arrives and what leaves, wired as in the server, with another side that answers at once. */
export async function measureMail({ place, arrivals, messages, todoItems }: MailSizes): Promise<MailFigures> {
  const opened = await openQueue(place);
  await opened.store.write((tx) => enrol(tx, { id: node, address: null }, systemClock.now()));
  const claims = summary(await arriveAndClaim(opened, arrivals));
  const figures = {
    claimP50: claims.p50,
    claimP99: claims.p99,
    messagesPerSecond: messages / ((await sendAll(opened, messages)) / 1_000),
    ...(await scans(opened, todoItems)),
  };
  await opened.close();
  return figures;
}

const base = ({ store }: Opened) => ({ store, clock: systemClock, newId, chance: Math.random, log: silentLog, node });

/** One after the other: how long a single wish takes while nothing else happens. */
async function arriveAndClaim(opened: Opened, count: number): Promise<readonly number[]> {
  const { queue, store } = opened;
  const inbox = createInbox({
    ...base(opened),
    queue,
    taken: async () => undefined,
    sources: [
      {
        name: 'bench',
        read: async ({ key }) => ({ kind: 'work', wanted: [{ wish: wish(Number(key)), trigger: key, address: {} }] }),
      },
    ],
  });
  await inbox.start();
  let claimed = (): void => undefined;
  let looking = Promise.resolve();
  const unsubscribe = store.onCommit((topic) => {
    if (topic !== 'line') return;
    looking = looking.then(async () => {
      const [claim] = await queue.claim(node, 1);
      if (!claim) return;
      claimed();
      await queue.settle({ taskId: claim.task.id, runId: claim.run.id, outcome: { kind: 'succeeded' } });
    });
  });
  const samples: number[] = [];
  for (let n = 0; n < count; n++) {
    const claim = new Promise<void>((resolve) => {
      claimed = resolve;
    });
    await inbox.receive({ source: 'bench', key: String(n), kind: 'wish', headers: {}, body: Buffer.from('{}') });
    samples.push(await timed(() => claim));
  }
  unsubscribe();
  await looking;
  await inbox.stop();
  return samples;
}

/** Two thousand messages that wait, to a hundred recipients, until all of them are marked as sent. */
async function sendAll(opened: Opened, count: number): Promise<number> {
  let left = count;
  let done = (): void => undefined;
  const all = new Promise<void>((resolve) => {
    done = resolve;
  });
  const outbox = createOutbox({
    ...base(opened),
    channels: [
      {
        name: 'bench',
        send: async () => {
          if (--left === 0) done();
          return { kind: 'sent', ref: null };
        },
      },
    ],
  });
  for (let from = 0; from < count; from += 100) {
    const some = Array.from({ length: Math.min(100, count - from) }, (_, n) => ({
      channel: 'bench',
      recipient: `issue ${n}`,
      kind: 'note',
      key: `message ${from + n}`,
      body: { text: 'x'.repeat(500) },
    }));
    await opened.store.write((tx) => outbox.put(tx, some));
  }
  const ms = await timed(async () => {
    await outbox.start();
    await all;
  });
  await outbox.stop();
  return ms;
}

async function scans(opened: Opened, items: number): Promise<Pick<MailFigures, 'scanMs' | 'rescanMs' | 'editMs'>> {
  const directory = mkdtempSync(join(tmpdir(), 'nightshift-bench-todo-'));
  const file = join(directory, 'TODO.md');
  const lines = Array.from({ length: items }, (_, n) => `- [ ] Mend the flaky test number ${n} (priority: high)`);
  const scan = (): Promise<number> => timed(() => scanFile({ ...base(opened), queue: opened.queue }, file));
  try {
    writeFileSync(file, lines.join('\n'));
    const scanMs = await scan();
    const rescanMs = await scan();
    writeFileSync(file, ['- [ ] Something new', ...lines].join('\n'));
    return { scanMs, rescanMs, editMs: await scan() };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
