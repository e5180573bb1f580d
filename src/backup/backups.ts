import { stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Unusable } from '../domain/errors.ts';
import type { Log } from '../platform/log.ts';
import { regularly } from '../platform/regularly.ts';
import { type Backup, type BackupKind, type BackupParts, backUp, clearAbandoned, listBackups } from './backup.ts';

export interface Backups {
  /** Made now; whoever asks while one is being made gets that one. */
  make(): Promise<Backup>;
  list(): Promise<readonly Backup[]>;
  /** Null when there is none. */
  ageMs(): Promise<number | null>;
  /**
   * Why the last one could not be made, or that one is overdue; null when all is well. Undefined while the first since the
   * start is being made: whether what was wrong before still is shows when that has ended.
   */
  trouble(): Promise<string | null | undefined>;
  stop(): Promise<void>;
}

const lookEveryMs = 10 * 60_000;
/** What has to stay free beside a backup. */
const leaveBytes = 2 ** 30;
/** How long one that is due may take before something must have gone wrong with it. */
const lateMs = 3_600_000;

/** Backups of this server: made by itself when the newest is older than so many hours (0: never), and when somebody asks. */
export function openBackups(parts: BackupParts & { readonly log: Log }, everyHours: number): Backups {
  const { log, clock, directory } = parts;
  const stopping = new AbortController();
  const opened = clock.now();
  const cleared = clearAbandoned(parts).catch((error: unknown) =>
    log.warn({ err: error }, 'what killed backups left could not be removed'),
  );
  /** Of the last that was tried; undefined before. */
  let failure: string | null | undefined;
  let making: Promise<Backup> | undefined;

  async function make(kind: BackupKind): Promise<Backup> {
    await cleared;
    try {
      await requireRoom(parts);
      const begun = clock.monotonic();
      const made = await backUp(parts, kind, stopping.signal);
      failure = null;
      log.info({ ...made, ms: Math.round(clock.monotonic() - begun) }, 'a backup was made');
      return made;
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  const once = (kind: BackupKind): Promise<Backup> => {
    making ??= make(kind).finally(() => {
      making = undefined;
    });
    return making;
  };

  const dueAt = async (): Promise<number> =>
    everyHours === 0 ? Number.POSITIVE_INFINITY : (await lastTime(parts)) + everyHours * 3_600_000;

  const scheduled = regularly(
    clock,
    lookEveryMs,
    async () => {
      if (clock.now() >= (await dueAt())) await once('scheduled');
    },
    (error) => {
      if (!stopping.signal.aborted) log.error({ err: error }, 'a backup could not be made; trying again in ten minutes');
    },
  );
  return {
    make: () => once('by-hand'),
    list: () => listBackups(directory),
    async ageMs() {
      const [newest] = await listBackups(directory);
      return newest === undefined ? null : Math.max(0, clock.now() - newest.madeAt);
    },
    async trouble() {
      if (failure !== undefined && failure !== null) return failure;
      const due = Math.max(opened, await dueAt());
      if (clock.now() - due > lateMs) return `One has been due since ${new Date(due).toISOString()}, and is not made.`;
      return making !== undefined && failure === undefined ? undefined : null;
    },
    async stop() {
      stopping.abort('stopping');
      await cleared;
      await scheduled.stop();
      await making?.catch(() => undefined);
    },
  };
}

/** When the last was made by itself; before the first, when the home was: a new one holds nothing worth keeping yet. */
async function lastTime({ home, directory, clock }: BackupParts): Promise<number> {
  // One from the future was made while the clock was wrong, and would keep all others from being made.
  const newest = (await listBackups(directory)).find(({ kind, madeAt }) => kind === 'scheduled' && madeAt <= clock.now());
  return newest?.madeAt ?? (await stat(join(home, 'node-id'))).mtimeMs;
}

/** A server that is out of room does nothing at all, which is worse than one without a new backup. */
async function requireRoom({ home, directory, databaseUrl }: BackupParts): Promise<void> {
  const database = databaseUrl === undefined ? ((await stat(join(home, 'nightshift.db')).catch(() => undefined))?.size ?? 0) : 0;
  const last = (await listBackups(directory))[0]?.bytes ?? 0;
  const disk = await statfs(directory).catch(() => statfs(dirname(directory)));
  const free = disk.bavail * disk.bsize;
  if (free > database + 2 * last + leaveBytes) return;
  throw new Unusable(
    'no-room',
    `Only ${(free / 1e9).toFixed(1)} GB are free where backups are kept (${directory}). Make room, or set NIGHTSHIFT_BACKUP_DIRECTORY.`,
  );
}
