import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Clock } from '../platform/clock.ts';
import { run } from './program.ts';
import { seal } from './sealed.ts';
import { dumpPostgres, snapshotSqlite } from './snapshot.ts';

export interface BackupParts {
  readonly home: string;
  /** Where backups are kept; made if need be. */
  readonly directory: string;
  readonly databaseUrl: string | undefined;
  /** Whose backups these are: one server's, which makes one at a time. */
  readonly node: string;
  /** The version of the schema, so that a restore knows whether it can read it. */
  readonly schema: number;
  readonly version: string;
  readonly clock: Clock;
  readonly path: string;
  /** What programs are given beside that: by it they are found when this server is killed, and end with it. */
  readonly env: Readonly<Record<string, string>>;
  /** The settings without what is secret in them. */
  readonly withoutSecrets: (settings: string) => string;
  /** With one, secrets go along, sealed with it; without one they are left out. */
  readonly passphrase: string | undefined;
  /** How many stay of each kind; older ones are removed when a new one is whole. */
  readonly keep: number;
}

/** Made by itself, or because somebody asked: neither kind pushes out the other. */
export type BackupKind = 'scheduled' | 'by-hand';

export interface Backup {
  readonly file: string;
  readonly kind: BackupKind;
  readonly bytes: number;
  readonly madeAt: number;
}

/** What a restore looks at first. */
export interface Manifest {
  readonly format: 1;
  readonly version: string;
  readonly schema: number;
  readonly database: 'sqlite' | 'postgres';
  readonly madeAt: number;
  readonly sealed: boolean;
}

export const databaseFile = { sqlite: 'nightshift.db', postgres: 'nightshift.dump' } as const;
/** What of the home is worth keeping; mirrors and workspaces are made again. */
const records = ['runs', 'sessions'] as const;
const named = /^nightshift-(\d{8})T(\d{6})Z(-by-hand)?\.tar\.gz$/;

/**
 * Makes a backup while everything goes on. The database is as it was at one moment; files that are written meanwhile may
 * be cut short. It has its name only when all of it is on the disk. Throws `Unusable` with what is missing.
 */
export async function backUp(parts: BackupParts, kind: BackupKind, signal: AbortSignal): Promise<Backup> {
  const { home, directory, clock, databaseUrl } = parts;
  const madeAt = clock.now();
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await clearAbandoned(parts);
  const staging = await mkdtemp(join(directory, `${unfinished}${parts.node}-`));
  try {
    const database = databaseUrl === undefined ? 'sqlite' : 'postgres';
    const into = join(staging, databaseFile[database]);
    if (databaseUrl === undefined) await snapshotSqlite(join(home, 'nightshift.db'), into, parts, signal);
    else await dumpPostgres(databaseUrl, into, parts, signal);
    const sealed = await putSettings(parts, staging);
    const manifest: Manifest = { format: 1, version: parts.version, schema: parts.schema, database, madeAt, sealed };
    await writeFile(join(staging, 'manifest.json'), JSON.stringify(manifest, null, 2));
    const time = new Date(madeAt).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const file = join(directory, `nightshift-${time}${kind === 'by-hand' ? '-by-hand' : ''}.tar.gz`);
    const bytes = await pack(parts, staging, file, signal);
    await prune(parts, kind);
    return { file, kind, bytes, madeAt };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

const unfinished = '.nightshift-';
const day = 86_400_000;

/**
 * Removes what backups that were killed have left: this node's own, which makes none at this moment, and what is older than
 * any other's that shares the directory can be.
 */
export async function clearAbandoned({ directory, node, clock }: Pick<BackupParts, 'directory' | 'node' | 'clock'>): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(unfinished))) {
    const path = join(directory, name);
    const facts = await stat(path).catch(() => undefined);
    const abandoned = name.startsWith(`${unfinished}${node}-`) || (facts && clock.now() - facts.mtimeMs > day);
    if (abandoned) await rm(path, { recursive: true, force: true });
  }
}

/** The newest first. */
export async function listBackups(directory: string): Promise<readonly Backup[]> {
  const names = (await readdir(directory).catch(() => []))
    .filter((name) => named.test(name))
    .toSorted()
    .toReversed();
  const found = await Promise.all(
    names.map(async (name) => {
      const file = join(directory, name);
      const facts = await stat(file).catch(() => undefined);
      return facts?.isFile() ? [{ file, bytes: facts.size, ...told(name) }] : [];
    }),
  );
  return found.flat();
}

export const checksumOf = (file: string): string => `${file}.sha256`;

export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function putSettings({ home, withoutSecrets, passphrase }: BackupParts, staging: string): Promise<boolean> {
  const settings = await readFile(join(home, 'nightshift.yaml'), 'utf8').catch(() => undefined);
  if (settings !== undefined) await writeFile(join(staging, 'nightshift.yaml'), withoutSecrets(settings), { mode: 0o600 });
  if (passphrase === undefined) return false;
  const token = await readFile(join(home, 'token'), 'utf8').catch(() => undefined);
  await writeFile(join(staging, 'secrets.sealed'), await seal(JSON.stringify({ settings, token }), passphrase), { mode: 0o600 });
  return true;
}

async function pack({ home, clock, path, env }: BackupParts, staging: string, file: string, signal: AbortSignal): Promise<number> {
  const there = records.filter((name) => existsSync(join(home, name)));
  const growing = `${staging}.tar.gz`;
  try {
    const argv = [
      'tar',
      '--create',
      '--gzip',
      '--file',
      growing,
      '--exclude=runs/*/work',
      '--directory',
      staging,
      '.',
      ...(there.length === 0 ? [] : ['--directory', home, ...there]),
    ];
    // The directory may be anybody's to read, and what is in here is not.
    await writeFile(growing, '', { mode: 0o600, flag: 'wx' });
    // 1: a file changed or vanished while it was read, which records of runs under way do.
    await run({ argv, path, clock, env, content: [0, 1] }, signal);
    const handle = await open(growing, 'r+');
    await handle.sync().finally(() => handle.close());
    await writeFile(checksumOf(file), `${await sha256(growing)}  ${basename(file)}\n`);
    await rename(growing, file);
    return (await stat(file)).size;
  } finally {
    await rm(growing, { force: true });
  }
}

async function prune({ directory, keep }: BackupParts, kind: BackupKind): Promise<void> {
  const alike = (await listBackups(directory)).filter((each) => each.kind === kind);
  for (const { file } of alike.slice(keep)) {
    await rm(file, { force: true });
    await rm(checksumOf(file), { force: true });
  }
}

function told(name: string): Pick<Backup, 'madeAt' | 'kind'> {
  const [, date = '', time = '', byHand] = named.exec(name) ?? [];
  const at = (text: string, from: number): string => text.slice(from, from + 2);
  const madeAt = Date.parse(`${date.slice(0, 4)}-${at(date, 4)}-${at(date, 6)}T${at(time, 0)}:${at(time, 2)}:${at(time, 4)}Z`);
  return { madeAt, kind: byHand === undefined ? 'scheduled' : 'by-hand' };
}
