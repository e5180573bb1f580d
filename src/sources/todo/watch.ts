import { type FSWatcher, watch } from 'chokidar';
import type { Cancel } from '../../platform/clock.ts';
import { type Regular, regularly } from '../../platform/regularly.ts';
import { entryOf, filesOf, isPassedOver, rootOf, type TodoFiles } from './files.ts';
import { type ScanParts, scanFile } from './scan.ts';

/** Editors write a file in several steps; it is read when it has been left alone for so long. */
const debounceMs = 500;
/** What has lost most of its items is believed when it says the same after so long. */
const doubtMs = 30_000;
/** Also without news: some file systems have none to tell. */
const lookAgainMs = 5 * 60_000;

export interface TodoWatch {
  /** Resolves when the files that are there have been taken in and those to come are watched. */
  readonly ready: Promise<void>;
  stop(): Promise<void>;
}

/** Keeps an eye on TODO files. One file is scanned at a time, and again if it changes meanwhile. */
export function watchTodos(parts: ScanParts, entries: readonly TodoFiles[]): TodoWatch {
  const { clock, log } = parts;
  const settling = new Map<string, Cancel>();
  let scanning: Promise<void> = Promise.resolve();
  let stopped = false;

  const scan = (path: string, doubtedBefore?: string): Promise<void> => {
    scanning = scanning
      .then(async () => {
        const scanned = stopped ? undefined : await scanFile(parts, path, doubtedBefore);
        if (scanned?.kind === 'doubted') later(path, doubtMs, scanned.hash);
      })
      .catch((error: unknown) => log.error({ err: error, file: path }, 'a TODO file could not be taken in; it will be tried again'));
    return scanning;
  };
  /** In place of whatever look at it was to come next. */
  const later = (path: string, ms: number, doubtedBefore?: string): void => {
    if (stopped) return;
    settling.get(path)?.();
    settling.set(
      path,
      clock.after(ms, () => {
        settling.delete(path);
        void scan(path, doubtedBefore);
      }),
    );
  };
  const heard = (path: string): void => {
    if (entryOf(entries, path)) later(path, debounceMs);
  };

  const watcher: FSWatcher = watch([...new Set(entries.map(rootOf))], {
    ignoreInitial: true,
    ignored: (path) => isPassedOver(path),
    ignorePermissionErrors: true,
  })
    .on('add', heard)
    .on('change', heard)
    .on('unlink', heard)
    .on('error', (error) => log.warn({ err: error }, 'watching TODO files'));
  const watching = new Promise<void>((resolve) => watcher.once('ready', () => resolve()));

  let first: () => void;
  const taken = new Promise<void>((resolve) => {
    first = resolve;
  });
  const looking: Regular = regularly(
    clock,
    lookAgainMs,
    async () => {
      for (const entry of entries) for (const path of await filesOf(entry)) await scan(path);
      first();
    },
    (error) => log.warn({ err: error }, 'looking for TODO files'),
  );
  return {
    ready: Promise.all([watching, taken]).then(() => undefined),
    async stop() {
      stopped = true;
      for (const cancel of settling.values()) cancel();
      await watcher.close();
      await looking.stop();
      await scanning;
    },
  };
}
