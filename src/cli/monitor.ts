import { needsPerson } from '../domain/task.ts';
import { wait } from '../platform/clock.ts';
import type { Budget, Page, QueueState, StreamedEvent, Task } from './api.ts';
import type { Client } from './client.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { exits, Failure } from './failure.ts';
import { type Following, followEverything } from './follow.ts';
import { type Alert, countsOf, type News, newsOf, pageOf, type Seen, summaryOf } from './monitor/page.ts';
import { openPaper } from './monitor/paper.ts';
import { type Define, examples, type Session } from './session.ts';

export const define: Define = (command, session) => {
  examples(clientFlags(command), 'nightshift monitor', 'nightshift monitor --json | jq .running', 'nightshift monitor | tee shift.log')
    .addHelpText('after', '\nOn a terminal a page that keeps itself up to date, until q or Ctrl-C. Anywhere else a line for each change.')
    .action((flags: ClientFlags) => monitor(session, flags));
};

/** News that come together are one look; without any there is a look as well, for what makes no news. */
const gatherMs = 250;
const lookAgainMs = 5_000;
const newsKept = 200;

/** Looks at everything that the page shows whenever something happens, and hands it on until somebody has seen enough. */
async function monitor(session: Session, flags: ClientFlags): Promise<void> {
  const { clock } = session.terminal;
  const leaving = new AbortController();
  const leave = (): void => leaving.abort();
  const release = session.terminal.onInterrupt(leave);
  let seen = await look(connect(flags, session));
  const news: News[] = [];
  const titles = new Map<string, string>();
  const view = viewOf(session, flags, { leave, news });
  /** Something has happened since the last look began. */
  let stale = false;
  let hurry = (): void => undefined;
  const wake = (): void => {
    stale = true;
    hurry();
  };
  const following: Following = {
    connect: () => connect(flags, session),
    clock,
    signal: leaving.signal,
    onConnection: wake,
  };
  const tell = (event: StreamedEvent): void => {
    const told = newsOf(event, titles);
    if (told) news.push(told);
    if (news.length > newsKept) news.shift();
    wake();
  };
  const listening = listen(following, tell);
  try {
    while (!leaving.signal.aborted) {
      remember(titles, seen);
      view.show(seen);
      const woken = new AbortController();
      hurry = () => woken.abort();
      if (!stale) await wait(clock, lookAgainMs, AbortSignal.any([woken.signal, leaving.signal]));
      await wait(clock, gatherMs, leaving.signal);
      stale = false;
      seen = await look(connect(flags, session)).catch((error: unknown) => withoutServer(seen, error));
    }
  } finally {
    view.close();
    release();
    leave();
    await listening;
  }
}

interface View {
  show(seen: Seen): void;
  close(): void;
}

function viewOf(session: Session, { json }: ClientFlags, page: { readonly leave: () => void; readonly news: readonly News[] }): View {
  const { screen, terminal } = session;
  if (!json && screen.rich) {
    let last: Seen | undefined;
    const paper = openPaper(terminal, {
      draw: (columns, rows) => (last ? pageOf(last, page.news, { columns, rows, now: terminal.clock.now(), paint: screen.paint }) : []),
      leave: page.leave,
    });
    return {
      show(seen) {
        last = seen;
        paper.redraw();
      },
      close: paper.close,
    };
  }
  let said = '';
  return {
    show(seen) {
      const now = new Date(terminal.clock.now()).toISOString();
      const line = JSON.stringify(countsOf(seen));
      if (line === said) return;
      said = line;
      if (json) screen.json({ at: now, ...countsOf(seen) });
      else screen.line([now, ...summaryOf(seen)].join('\t'));
    },
    close: () => undefined,
  };
}

/** For ever: a server that is away for long is waited for. */
async function listen(following: Following, tell: (event: StreamedEvent) => void): Promise<void> {
  while (!following.signal.aborted) {
    try {
      for await (const event of followEverything(following)) tell(event);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      await wait(following.clock, lookAgainMs, following.signal);
    }
  }
}

async function look(client: Client): Promise<Seen> {
  const [queue, running, needing, budgets, alerts, health] = await Promise.all([
    client.get<QueueState>('/api/queue'),
    client.get<Page<Task>>('/api/tasks?status=running&limit=50'),
    client.get<Page<Task>>(`/api/tasks?status=${needsPerson.join(',')}&limit=50`),
    client.get<{ readonly items: readonly Budget[] }>('/api/budgets'),
    client.get<{ readonly items: readonly Alert[] }>('/api/alerts'),
    client.get<{ readonly last: { readonly healthy: boolean } | null }>('/api/health'),
  ]);
  return {
    address: client.address,
    answers: true,
    queue,
    running: running.items,
    needing: needing.items,
    today: budgets.items.find(({ scope }) => scope === 'day'),
    alerts: alerts.items,
    healthy: health.last?.healthy ?? null,
  };
}

/** What was last seen stays to be read; a refusal ends it. */
function withoutServer(seen: Seen, error: unknown): Seen {
  if (error instanceof Failure && (error.exit === exits.unreachable || error.details['status'] === 503)) return { ...seen, answers: false };
  throw error;
}

function remember(titles: Map<string, string>, { running, needing }: Seen): void {
  for (const { id, title } of [...running, ...needing]) titles.set(id, title);
  for (const id of titles.keys()) {
    if (titles.size <= 2 * newsKept) break;
    titles.delete(id);
  }
}
