import { existsSync, statSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { Unusable } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { openStore } from '../store/open.ts';
import { prepareRestored } from '../store/restored.ts';
import { finishRestore, giveUpRestore, holdForRestore, takeForRestore } from '../store/restoring.ts';
import { checksumOf, databaseFile, type Manifest, sha256 } from './backup.ts';
import { run } from './program.ts';
import { unseal } from './sealed.ts';
import { restorePostgres } from './snapshot.ts';

export interface RestoreParts {
  readonly file: string;
  /** Does not exist yet, or is empty. */
  readonly home: string;
  /** An empty database, for a backup of PostgreSQL. */
  readonly databaseUrl: string | undefined;
  /** The newest schema that this program knows. */
  readonly schema: number;
  readonly clock: Clock;
  readonly path: string;
  /** What programs are given beside that: by it they are found when this process is killed, and end with it. */
  readonly env: Readonly<Record<string, string>>;
  readonly passphrase: string | undefined;
}

const manifestSchema = z.object({
  format: z.literal(1),
  version: z.string(),
  schema: z.int(),
  database: z.enum(['sqlite', 'postgres']),
  madeAt: z.number(),
  sealed: z.boolean(),
});

/**
 * Puts a backup in place, whole or not at all. The queue is paused afterwards, so that a person can look first: what was
 * done after the backup is not known to it.
 */
export async function restore(parts: RestoreParts, signal: AbortSignal): Promise<Manifest> {
  const { home } = parts;
  const file = resolve(parts.file);
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) throw new Unusable('no-such-backup', `There is no file ${file}.`);
  await checkSum(file);
  // A directory that is there is filled, not replaced: it may be the volume of a container, or stand where only root may make others.
  const filled = existsSync(home);
  if (filled && (await readdir(home)).some((name) => name !== 'lost+found' && !name.startsWith(unfinished))) {
    throw new Unusable('home-in-use', `${home} is not empty. Restore into a new home (--home), or move this one away first.`);
  }
  if (!filled) await mkdir(dirname(home), { recursive: true });
  const place = filled ? home : dirname(home);
  await clearAbandoned(place);
  if (filled) await refuseHalfRestored(home);
  const staging = await mkdtemp(join(place, `${unfinished}${process.pid}-`));
  try {
    await unpack(file, staging, parts, signal);
    const manifest = await readManifest(staging, parts);
    requireParts(file, staging, manifest);
    if (manifest.sealed) await openSecrets(staging, parts);
    await whole(manifest.database === 'postgres' ? parts.databaseUrl : undefined, async () => {
      await putDatabase(staging, manifest, parts, signal);
      for (const name of ['manifest.json', 'secrets.sealed', databaseFile.postgres]) await rm(join(staging, name), { force: true });
      await chmod(staging, 0o700);
      await (filled ? moveInto(home, staging) : rename(staging, home));
    });
    return manifest;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

const unfinished = '.nightshift-restoring-';

/**
 * Of restores that were killed: keys may be in it. The name says whose it is; nobody else has our own number. What is another
 * user's stays theirs, and keeps nobody from restoring.
 */
async function clearAbandoned(directory: string): Promise<void> {
  for (const name of (await readdir(directory).catch(() => [])).filter((each) => each.startsWith(unfinished))) {
    const pid = Number(name.slice(unfinished.length).split('-')[0]);
    if (pid === process.pid || !isRunning(pid)) await rm(join(directory, name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function unpack(file: string, into: string, { path, clock, env }: RestoreParts, signal: AbortSignal): Promise<void> {
  const argv = ['tar', '--extract', '--gzip', '--no-same-owner', '--file', file, '--directory', into];
  try {
    await run({ argv, path, clock, env }, signal);
  } catch (error) {
    if (!(error instanceof Unusable) || error.code !== 'program-failed') throw error;
    const what = 'If there is room on the disk there, the file is damaged or no backup: use another.';
    throw new Unusable('backup-unreadable', `${file} cannot be unpacked in ${dirname(into)}. ${what}\n${error.message}`, error);
  }
}

/** What is not there would be made anew and empty by whoever opens it. */
function requireParts(file: string, staging: string, { database, sealed }: Manifest): void {
  const missing = [databaseFile[database], ...(sealed ? ['secrets.sealed'] : [])].find((name) => !existsSync(join(staging, name)));
  if (missing !== undefined) throw new Unusable('backup-damaged', `${file} is not whole: ${missing} is not in it. Use another backup.`);
}

/** Killed in the midst of it, it leaves the empty or half-empty `from`, and no server takes such a home. */
async function moveInto(home: string, from: string): Promise<void> {
  const moved: string[] = [];
  try {
    for (const name of await readdir(from)) {
      await rename(join(from, name), join(home, name));
      moved.push(name);
    }
  } catch (error) {
    for (const name of moved) await rm(join(home, name), { recursive: true, force: true });
    throw error;
  }
}

/** A server must not take such a home: it would begin anew beside what is half there. */
export async function refuseHalfRestored(home: string): Promise<void> {
  const names = existsSync(home) ? await readdir(home) : [];
  if (!names.some((name) => name.startsWith(unfinished))) return;
  throw new Unusable(
    'restore-unfinished',
    `A restore into ${home} is under way, or was cut short. If it was cut short, empty the directory and restore again.`,
  );
}

async function checkSum(file: string): Promise<void> {
  if (!existsSync(checksumOf(file))) return;
  const [wanted] = (await readFile(checksumOf(file), 'utf8')).split(' ');
  if (wanted !== (await sha256(file))) {
    throw new Unusable(
      'backup-damaged',
      `${file} is not what was written: its checksum differs from ${checksumOf(file)}. Use another backup.`,
    );
  }
}

async function readManifest(staging: string, { schema, databaseUrl }: RestoreParts): Promise<Manifest> {
  const parsed = manifestSchema.safeParse(await readJson(join(staging, 'manifest.json')));
  if (!parsed.success) throw new Unusable('no-backup', 'This file is no backup of Nightshift.');
  const manifest = parsed.data;
  if (manifest.schema > schema) {
    throw new Unusable('backup-newer', `This backup was made by Nightshift ${manifest.version}, which is newer. Restore it with that one.`);
  }
  if (manifest.database === 'postgres' && databaseUrl === undefined) {
    throw new Unusable('database-missing', 'This is a backup of PostgreSQL: name an empty database with DATABASE_URL.');
  }
  if (manifest.database === 'sqlite' && databaseUrl !== undefined) {
    throw new Unusable('database-other', 'This is a backup of the embedded database; leave DATABASE_URL out.');
  }
  return manifest;
}

/** Undefined when it is not there, or is none. */
async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return undefined;
  }
}

async function openSecrets(staging: string, { passphrase }: RestoreParts): Promise<void> {
  if (passphrase === undefined) return;
  const text = await unseal(await readFile(join(staging, 'secrets.sealed')), passphrase);
  const { settings, token } = JSON.parse(text) as { settings?: string; token?: string };
  if (settings !== undefined) await writeFile(join(staging, 'nightshift.yaml'), settings, { mode: 0o600 });
  if (token !== undefined) await writeFile(join(staging, 'token'), token, { mode: 0o600 });
}

async function putDatabase(staging: string, { database }: Manifest, parts: RestoreParts, signal: AbortSignal): Promise<void> {
  const { databaseUrl, clock } = parts;
  if (database === 'postgres') await restorePostgres(String(databaseUrl), join(staging, databaseFile.postgres), parts, signal);
  const store = await openStore({ home: staging, databaseUrl, restoring: true });
  try {
    await store.write((tx) => prepareRestored(tx, clock.now()));
  } finally {
    await store.close();
  }
}

/** Makes a database ready to be restored into, and either everybody's or as empty as it was. What is in no such database needs none of it. */
async function whole(databaseUrl: string | undefined, restoring: () => Promise<void>): Promise<void> {
  if (databaseUrl === undefined) return restoring();
  const release = await holdForRestore(databaseUrl);
  try {
    await takeForRestore(databaseUrl);
    await restoring().catch(async (error: unknown) => {
      // Where even that fails, what is in it stays closed to servers, and the next restore clears it away.
      await giveUpRestore(databaseUrl).catch(() => undefined);
      throw error;
    });
    await finishRestore(databaseUrl);
  } finally {
    await release();
  }
}
