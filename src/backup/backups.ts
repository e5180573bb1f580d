import { stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Unusable } from '../domain/errors.ts';
import type { Log } from '../platform/log.ts';
import { regularly } from '../platform/regularly.ts';
import { type Backup, type BackupKind, type BackupParts, backUp, listBackups } from './backup.ts';

export interface Backups {
  /** Made now; whoever asks while one is being made gets that one. */
  make(): Promise<Backup>;
  list(): Promise<readonly Backup[]>;
  /** Null when there is none. */
  ageMs(): Promise<number | null>;
  /** Why the last one could not be made; null when it was, or none was tried. */
  readonly failure: string | null;
  stop(): Promise<void>;
}

const lookEveryMs = 10 * 60_000;
/** What has to stay free beside a backup. */
const leaveBytes = 2 ** 30;

/** Backups of this server: made by itself when the newest is older than so many hours (0: never), and when somebody asks. */
export function openBackups(parts: BackupParts & { readonly log: Log }, everyHours: number): Backups {
  const { log, clock, directory } = parts;
  const stopping = new AbortController();
  let failure: string | null = null;
  let making: Promise<Backup> | undefined;

  async function make(kind: BackupKind): Promise<Backup> {
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

  const scheduled = regularly(
    clock,
    lookEveryMs,
    async () => {
      if (everyHours === 0) return;
      if (clock.now() - (await lastTime(parts)) >= everyHours * 3_600_000) await once('scheduled');
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
    get failure() {
      return failure;
    },
    async stop() {
      stopping.abort('stopping');
      await scheduled.stop();
      await making?.catch(() => undefined);
    },
  };
}

/** When the last was made by itself; before the first, when the home was: a new one holds nothing worth keeping yet. */
async function lastTime({ home, directory }: BackupParts): Promise<number> {
  const newest = (await listBackups(directory)).find(({ kind }) => kind === 'scheduled');
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
