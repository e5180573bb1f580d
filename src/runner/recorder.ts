import { createWriteStream, type WriteStream } from 'node:fs';
import { backoffMs } from '../domain/backoff.ts';
import { StoreUnavailable } from '../domain/errors.ts';
import type { NewEvent } from '../domain/event.ts';
import { type Clock, wait } from '../platform/clock.ts';
import { append } from '../store/journal.ts';
import type { Store, Tx } from '../store/store.ts';

/** Output beyond this goes to the file alone. */
const journalLimit = 256 * 1024;
const fileLimit = 64 * 1024 * 1024;

export interface RecorderParts {
  readonly store: Store;
  readonly clock: Clock;
  /** Told of each event, in the transaction that stores it. */
  readonly happened: (tx: Tx, event: NewEvent) => Promise<void>;
}

export interface Recorder {
  /** Resolves when the event is on disk; keeps trying while the store is unavailable, until the signal aborts. */
  record(event: NewEvent): Promise<void>;
  close(): Promise<void>;
}

/** Writes what a run does to the journal, and its whole output to a file beside the run's directory. */
export function openRecorder({ store, clock, happened }: RecorderParts, outputFile: string, signal: AbortSignal): Recorder {
  const file = createWriteStream(outputFile, { flags: 'a', mode: 0o600 });
  let fileBroken = false;
  file.on('error', () => {
    fileBroken = true; // a full disk; the journal still says how the run ended
  });
  let inJournal = 0;
  let inFile = 0;
  const keep = (event: NewEvent): Promise<void> => put(store, clock, event, signal, happened);

  return {
    async record(event) {
      if (event.type !== 'run.output') return keep(event);
      const { text } = event.data;
      if (!fileBroken && inFile < fileLimit) {
        inFile += text.length;
        await writeFully(file, text, () => fileBroken);
      }
      const room = journalLimit - inJournal;
      if (room <= 0) return;
      inJournal += text.length;
      await keep({ ...event, data: { ...event.data, text: text.slice(0, room) } });
      if (inJournal >= journalLimit) {
        await keep({ ...identity(event), type: 'run.notice', data: { text: `The output goes on in ${outputFile} (up to 64 MB).` } });
      }
    },
    async close() {
      if (fileBroken) return;
      file.end();
      await eventOf(file, 'close');
    },
  };
}

/** Writes an event to the journal; keeps trying while the store is unavailable, until the signal aborts. */
export const put = (
  store: Store,
  clock: Clock,
  event: NewEvent,
  signal: AbortSignal,
  happened: RecorderParts['happened'] = async () => undefined,
): Promise<void> =>
  patiently(clock, signal, () =>
    store.write(async (tx) => {
      await append(tx, [event], clock.now());
      await happened(tx, event);
    }),
  );

/** The same for any other change. */
export async function patiently<T>(clock: Clock, signal: AbortSignal, write: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || signal.aborted) throw error;
      await wait(clock, backoffMs(attempt, 0.5, { baseMs: 100, capMs: 5_000 }), signal);
    }
  }
}

async function writeFully(file: WriteStream, text: string, broken: () => boolean): Promise<void> {
  if (file.write(text) || broken()) return;
  await eventOf(file, 'drain');
}

/** Resolves at the event, or when the file is beyond use, and leaves no listener behind. */
function eventOf(file: WriteStream, event: 'drain' | 'close'): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      file.off(event, done);
      file.off('error', done);
      resolve();
    };
    file.on(event, done);
    file.on('error', done);
  });
}

const identity = ({ taskId, runId }: NewEvent): { taskId?: string; runId?: string } => ({
  ...(taskId === undefined ? {} : { taskId }),
  ...(runId === undefined ? {} : { runId }),
});
