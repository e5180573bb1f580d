import { statfs } from 'node:fs/promises';
import { type Finding, failure, ok, warning } from '../domain/examination.ts';
import type { Clock } from '../platform/clock.ts';
import { start } from '../platform/subprocess.ts';
import { newestEventAt } from '../store/journal.ts';
import type { Dialect } from '../store/migrations/migration.ts';
import { readSetting, writeSetting } from '../store/settings.ts';
import { type MailStanding, outboxStanding } from '../store/standing.ts';
import type { Store } from '../store/store.ts';
import { schemaVersions } from '../store/version.ts';
import type { Check } from './health.ts';

/** What can be looked at where no server is up as well. */
export interface OutwardParts {
  readonly clock: Clock;
  readonly home: string;
  readonly path: string;
  readonly dialect: Dialect;
  readonly backupsWanted: boolean;
  /** Each provider, asked for something that costs nothing. */
  readonly reachProviders: (signal: AbortSignal) => Promise<readonly Reached[]>;
  /** Each way by which people are told, tried without telling them anything. */
  readonly reachChannels: (signal: AbortSignal) => Promise<readonly Reached[]>;
  /** What lies in the outbox. */
  readonly mail: () => Promise<readonly MailStanding[]>;
}

interface Reached {
  readonly name: string;
  readonly trouble: string | undefined;
}

export interface CheckParts extends Omit<OutwardParts, 'dialect' | 'mail'> {
  readonly store: Store;
  readonly node: string;
  readonly sandbox: () => Promise<{ readonly active: boolean; readonly summary: string; readonly remedy?: string }>;
  readonly sandboxRequired: boolean;
  /** What is damaged in the embedded database, or undefined; looked for without holding anything up. */
  readonly findDamage: (signal: AbortSignal) => Promise<string | undefined>;
  /** Where work comes from by itself, as far as it is switched on. */
  readonly sources: readonly string[];
  readonly sourceConcerns: () => readonly { readonly found: string; readonly remedy: string }[];
  readonly backups: { trouble(): Promise<string | null | undefined>; ageMs(): Promise<number | null> };
}

/** What a running server can say of itself; what only somebody outside of it can is in `nightshift doctor`. */
export const checksOf = (parts: CheckParts): readonly Check[] => [
  { name: 'store', examine: () => store(parts) },
  { name: 'migrations', examine: () => schema(parts) },
  { name: 'integrity', examine: (signal) => integrity(parts, signal) },
  { name: 'clock', examine: () => clock(parts) },
  ...outwardChecks({ ...parts, dialect: parts.store.dialect, mail: () => outboxStanding(parts.store.read) }),
  { name: 'sandbox', examine: () => sandbox(parts) },
  { name: 'sources', examine: async () => sources(parts) },
  { name: 'backups', examine: () => backups(parts) },
];

/** Those that `nightshift doctor` makes by itself where no server is up. */
export const outwardChecks = (parts: OutwardParts): readonly Check[] => [
  { name: 'disk', examine: () => disk(parts) },
  { name: 'git', examine: (signal) => git(parts, signal) },
  { name: 'tools', examine: (signal) => tools(parts, signal) },
  { name: 'providers', examine: (signal) => providers(parts, signal) },
  { name: 'channels', examine: (signal) => channels(parts, signal) },
];

/** Writes something, and reads it back. */
async function store({ store: target, clock: time, node }: CheckParts): Promise<Finding> {
  const begun = time.monotonic();
  const wanted = String(time.now());
  const key = `health.${node}`;
  await target.write((tx) => writeSetting(tx, key, wanted));
  const kept = await readSetting(target.read, key);
  const ms = Math.round(time.monotonic() - begun);
  if (kept !== wanted)
    return failure('store', 'what was written was not read back', 'Stop the server and look at the database and its disk.');
  const found = `${target.dialect}, written and read in ${ms} ms`;
  return ms < 1_000 ? ok('store', found) : warning('store', found, 'Its disk or its network is slow.');
}

async function schema({ store: { read } }: CheckParts): Promise<Finding> {
  const { there, known } = await schemaVersions(read);
  if (there === known) return ok('migrations', `version ${there}, up to date`);
  return failure(
    'migrations',
    `the database is at version ${there}, and this server knows ${known}`,
    'Another server is newer than this one: update this one too (docs/operations/deploy.md).',
  );
}

async function integrity({ store: { dialect }, findDamage }: CheckParts, signal: AbortSignal): Promise<Finding> {
  if (dialect === 'postgres') return ok('integrity', 'PostgreSQL looks after that itself (data_checksums, pg_amcheck)');
  const damage = await findDamage(signal);
  return damage === undefined
    ? ok('integrity', 'no damage found')
    : failure(
        'integrity',
        `the database is damaged: ${damage}`,
        'Stop the server, keep the file, and restore a backup (docs/operations/backup.md).',
      );
}

async function disk({ home }: OutwardParts): Promise<Finding> {
  const { bavail, bsize } = await statfs(home);
  const free = bavail * bsize;
  const found = `${(free / 1e9).toFixed(1)} GB free`;
  const remedy = `Make room on the disk of ${home}: docs/operations/alerts.md, DiskFilling.`;
  if (free < 128 * 2 ** 20) return failure('disk', found, remedy);
  return free < 2 ** 30 ? warning('disk', found, remedy) : ok('disk', found);
}

/** Events are written in order: one from the future means that somebody has set a clock. */
async function clock({ store: journal, clock: time }: CheckParts): Promise<Finding> {
  const newest = (await newestEventAt(journal)) ?? 0;
  const behind = Math.round((newest - time.now()) / 1_000);
  const remedy = 'Set the clock right (timedatectl, chrony). Delays, budgets of a day and schedules go by it.';
  return behind > 5
    ? failure('clock', `it is ${behind} s behind the newest event`, remedy)
    : ok('clock', new Date(time.now()).toISOString());
}

async function git(parts: OutwardParts, signal: AbortSignal): Promise<Finding> {
  const version = await versionOf('git', parts, signal);
  if (version !== undefined) return ok('git', version.replace('git version ', ''));
  return failure('git', 'git does not start', 'Without git no repository can be worked on. Install it (Debian: apt install git).');
}

/** Without these no backup is made, and none put back. */
async function tools(parts: OutwardParts, signal: AbortSignal): Promise<Finding> {
  const wanted = ['tar', 'gzip', ...(parts.dialect === 'postgres' ? ['pg_dump', 'pg_restore'] : [])];
  const found = await Promise.all(wanted.map(async (name) => ({ name, there: (await versionOf(name, parts, signal)) !== undefined })));
  const missing = found.flatMap(({ name, there }) => (there ? [] : [name]));
  if (missing.length === 0) return ok('tools', wanted.join(', '));
  // Whoever makes backups otherwise may do without.
  const missed = parts.backupsWanted ? failure : warning;
  return missed(
    'tools',
    `${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} missing`,
    'No backup can be made without. Install what is missing (Debian: apt install tar gzip postgresql-client).',
  );
}

/** The first line of what a program says of itself; undefined when it does not start. */
async function versionOf(program: string, { path, clock: time }: OutwardParts, signal: AbortSignal): Promise<string | undefined> {
  const running = start({ argv: [program, '--version'], cwd: '/', env: { PATH: path } }, time, signal);
  let said = '';
  for await (const chunk of running.stdout) said += chunk.toString();
  const exit = await running.exit;
  return exit.kind === 'exited' && exit.code === 0 ? said.trim().split('\n')[0] : undefined;
}

async function sandbox(parts: CheckParts): Promise<Finding> {
  const { active, summary, remedy = 'docs/sandbox.md' } = await parts.sandbox();
  if (active) return ok('sandbox', summary);
  return parts.sandboxRequired ? failure('sandbox', summary, remedy) : warning('sandbox', summary, remedy);
}

async function providers({ reachProviders }: OutwardParts, signal: AbortSignal): Promise<Finding> {
  const reached = await reachProviders(signal);
  if (reached.length === 0) {
    return warning('providers', 'none is set up, so agents cannot work', 'Set LLM_API_KEY, or LLM_PROVIDER=rehearsal to try without one.');
  }
  const troubled = reached.flatMap(({ name, trouble }) => (trouble === undefined ? [] : [`${name}: ${trouble}`]));
  const found = troubled.length === 0 ? reached.map(({ name }) => name).join(', ') : troubled.join('; ');
  const remedy = 'Check the key and the network; docs/models.md.';
  if (troubled.length === 0) return ok('providers', found);
  // One that answers is enough to work with.
  return troubled.length < reached.length ? warning('providers', found, remedy) : failure('providers', found, remedy);
}

function sources({ sources: on, sourceConcerns }: CheckParts): Finding {
  const concerns = sourceConcerns();
  if (concerns.length > 0) {
    return warning('sources', concerns.map(({ found }) => found).join('; '), concerns.map(({ remedy }) => remedy).join(' '));
  }
  return ok('sources', on.length === 0 ? 'the API alone' : on.join(', '));
}

/** Alerts are to be there within half a minute. */
const lateMs = 2 * 60_000;

async function channels({ reachChannels, mail, clock: time }: OutwardParts, signal: AbortSignal): Promise<Finding> {
  const reached = await reachChannels(signal);
  const names = reached.map(({ name }) => name);
  if (names.length === 0) {
    return warning('channels', 'nobody is told of alerts', 'Set SLACK_WEBHOOK_URL, ALERT_EMAIL with SMTP_URL, or see docs/alerts.md.');
  }
  const troubles = reached.flatMap(({ name, trouble }) => (trouble === undefined ? [] : [`${name}: ${trouble}`]));
  if (troubles.length > 0) {
    // One that answers is enough to be told.
    const missed = troubles.length < reached.length ? warning : failure;
    return missed('channels', troubles.join('; '), 'Check its address, its login and the network; docs/sources.md.');
  }
  const stuck = (await mail()).filter(
    ({ state, name, since }) => names.includes(name) && (state === 'dead' || time.now() - since > lateMs),
  );
  if (stuck.length === 0) return ok('channels', names.join(', '));
  return warning(
    'channels',
    stuck.map(({ name, state, count }) => `${name}: ${count} ${state === 'dead' ? 'not sent' : 'waiting to be sent'}`).join(', '),
    `\`nightshift outbox --state ${stuck[0]?.state}\` says why.`,
  );
}

async function backups({ backups: kept, backupsWanted }: CheckParts): Promise<Finding> {
  const remedy = '`nightshift backup` makes one; docs/operations/backup.md.';
  const trouble = await kept.trouble();
  if (typeof trouble === 'string') return failure('backups', trouble, remedy);
  const ageMs = await kept.ageMs();
  if (ageMs !== null) return ok('backups', `the newest is ${Math.round(ageMs / 3_600_000)} h old`);
  return backupsWanted
    ? ok('backups', 'none yet; the first comes by itself')
    : warning('backups', 'none, and none is made by itself', remedy);
}
