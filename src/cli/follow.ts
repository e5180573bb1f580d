import { type Clock, wait } from '../platform/clock.ts';
import { isOver, type StreamedEvent, type Task } from './api.ts';
import type { Client } from './client.ts';
import { exits, Failure } from './failure.ts';
import { parseEvents } from './sse.ts';

export interface Following {
  /** Asked again at each reconnection: the server may have moved meanwhile. */
  readonly connect: () => Client;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called once per loss of the connection, and once when it is there again. */
  readonly onConnection: (state: 'lost' | 'back') => void;
}

/** The server sends a sign of life every 15 seconds; a connection that is silent for this long is dead. */
const silenceMs = 50_000;
const patienceMs = 10 * 60_000;
const retryDelaysMs = [200, 500, 1_000, 2_000, 5_000];

/** What has happened so far, and no waiting for more. */
export async function* history(client: Client, path: string): AsyncGenerator<StreamedEvent> {
  const stream = await client.stream(`${path}${path.includes('?') ? '&' : '?'}follow=false`, undefined, new AbortController().signal);
  if (!stream) return;
  for await (const event of parseEvents(stream)) if (event) yield event;
}

/** Everything that happens to a task, from its beginning until it is over; each event once, over any number of connections. */
export async function* followTask(following: Following, id: string): AsyncGenerator<StreamedEvent, Task | undefined> {
  const unfinished = new Set<string>();
  const finished = new Set<string>();
  // The stream of a task that does not exist would be empty for ever, not refused.
  await again(following, (client) => client.get<Task>(`/api/tasks/${id}`));
  for await (const event of follow(following, `/api/events?task=${id}`)) {
    yield event;
    if (event.type === 'run.started' && event.runId !== null) unfinished.add(event.runId);
    if (event.type === 'run.finished' && event.runId !== null) {
      unfinished.delete(event.runId);
      finished.add(event.runId);
    }
    if (!mayEnd(event) || unfinished.size > 0) continue;
    const task = await again(following, (client) => client.get<Task>(`/api/tasks/${id}`));
    // A task that was retried has ended before; the story goes on until its last run has been told.
    if (task && isOver(task.status) && task.runs.every((run) => finished.has(run.id))) return task;
  }
  return undefined;
}

const mayEnd = ({ type, data }: StreamedEvent): boolean =>
  type === 'run.finished' || (type === 'task.status' && isOver(data['to'] as Task['status']));

/** What one run does, from its beginning to its end. */
export async function* followRun(following: Following, id: string): AsyncGenerator<StreamedEvent> {
  for await (const event of follow(following, `/api/runs/${id}/events`)) {
    yield event;
    if (event.type === 'run.finished') return;
  }
}

/** Everything that happens from now on, until the signal aborts. */
export const followEverything = (following: Following): AsyncGenerator<StreamedEvent> => follow(following, '/api/events');

/** The stream at `path`, taken up again after its last event whenever it breaks. Ends when the server says so or the signal aborts. */
async function* follow(following: Following, path: string): AsyncGenerator<StreamedEvent> {
  const { signal } = following;
  let last: string | undefined;
  for (let empty = 0; !signal.aborted; empty++) {
    const life = new AbortController();
    const stream = await again(following, (client) => client.stream(path, last, AbortSignal.any([signal, life.signal])));
    if (!stream) return;
    try {
      for await (const event of parseEvents(watched(stream, following.clock, () => life.abort()))) {
        if (!event) continue;
        last = event.id;
        empty = 0;
        yield event;
      }
    } catch {
      // A cut connection is what this loop is for.
    } finally {
      life.abort();
    }
    // A server that is stopping accepts and closes at once.
    await wait(following.clock, delayAfter(empty), signal);
  }
}

/** Tries until the server answers, or for ten minutes. A refusal is an answer, except "unavailable". */
async function again<T>({ connect, clock, signal, onConnection }: Following, ask: (client: Client) => Promise<T>): Promise<T | undefined> {
  const start = clock.monotonic();
  for (let tries = 0; ; tries++) {
    try {
      const answer = await ask(connect());
      if (tries > 0) onConnection('back');
      return answer;
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!passes(error) || clock.monotonic() - start > patienceMs) throw error;
      if (tries === 0) onConnection('lost');
      await wait(clock, delayAfter(tries), signal);
    }
  }
}

const delayAfter = (tries: number): number => retryDelaysMs[Math.min(tries, retryDelaysMs.length - 1)] as number;

const passes = (error: unknown): boolean =>
  error instanceof Failure && (error.exit === exits.unreachable || (error.exit === exits.failed && error.details['status'] === 503));

/** Cuts a connection on which nothing comes any more. */
async function* watched(stream: AsyncIterable<Uint8Array>, clock: Clock, cut: () => void): AsyncGenerator<Uint8Array> {
  let cancel = clock.after(silenceMs, cut);
  try {
    for await (const chunk of stream) {
      cancel();
      yield chunk;
      cancel = clock.after(silenceMs, cut);
    }
  } finally {
    cancel();
  }
}
