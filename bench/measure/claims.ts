import type { Claim } from '../../src/queue/queue.ts';
import { summary, timed, timeEach } from '../support/stats.ts';
import type { Filler } from './fill.ts';
import { type Opened, wish } from './open.ts';

export interface ClaimFigures {
  readonly queued: number;
  readonly capacity: number;
  readonly perSecond: number;
  readonly claimP50: number;
  readonly claimP99: number;
  readonly settleP50: number;
  readonly submitP50: number;
}

const capacities = [1, 16];
/** How much of the line may be worked off before it is filled up again. */
const share = 0.3;
/** Claims that grow with the line show it within this time; nobody has to wait for all of them. */
const patienceMs = 5_000;

/** Claims and settles against a line of the given length: a slot at a time, and sixteen at a time. */
export async function measureClaims(opened: Opened, filler: Filler, queued: number, claims: number): Promise<readonly ClaimFigures[]> {
  await workOff(opened, 50, 1, patienceMs);
  const submits = await timeEach(Math.ceil(claims / 3), (n) => opened.queue.submit(wish(n)));
  const figures: ClaimFigures[] = [];
  for (const capacity of capacities) {
    const total = capacity === 1 ? claims : 4 * claims;
    const portion = Math.max(capacity, Math.floor(queued * share));
    const claimMs: number[] = [];
    const settleMs: number[] = [];
    let spentMs = 0;
    for (let left = total; left > 0 && spentMs < patienceMs; left -= portion) {
      const worked = await workOff(opened, Math.min(left, portion), capacity, patienceMs);
      claimMs.push(...worked.claimMs);
      settleMs.push(...worked.settleMs);
      spentMs += worked.spentMs;
      await filler.queued(worked.settleMs.length);
    }
    const claim = summary(claimMs);
    figures.push({
      queued,
      capacity,
      perSecond: settleMs.length / (spentMs / 1_000),
      claimP50: claim.p50,
      claimP99: claim.p99,
      settleP50: summary(settleMs).p50,
      submitP50: summary(submits).p50,
    });
  }
  return figures;
}

async function workOff(
  { queue }: Opened,
  count: number,
  capacity: number,
  limitMs: number,
): Promise<{ readonly claimMs: readonly number[]; readonly settleMs: readonly number[]; readonly spentMs: number }> {
  const claimMs: number[] = [];
  const settleMs: number[] = [];
  const spentMs = await timed(async () => {
    const end = performance.now() + limitMs;
    while (settleMs.length < count && performance.now() < end) {
      let held: readonly Claim[] = [];
      claimMs.push(
        await timed(async () => {
          held = await queue.claim('nod_bench', capacity);
        }),
      );
      if (held.length < capacity) throw new Error(`claimed ${held.length} of ${capacity}: the line ran dry`);
      const settle = async ({ task, run }: Claim): Promise<void> => {
        const settled = { taskId: task.id, runId: run.id, outcome: { kind: 'succeeded' } } as const;
        settleMs.push(await timed(() => queue.settle(settled)));
      };
      await Promise.all(held.map(settle));
    }
  });
  return { claimMs, settleMs, spentMs };
}
