import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { describeConfig } from '../config/config.ts';
import type { Config } from '../config/settings.ts';
import { Unusable } from '../domain/errors.ts';
import { type Finding, failure, ok, type Verdict, warning } from '../domain/examination.ts';
import { withoutPassword } from '../platform/url.ts';
import { createClient } from './client.ts';
import { addressOf, connect, loadSettings } from './connect.ts';
import { exits, Failure } from './failure.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type JsonFlag, jsonFlag, type Session } from './session.ts';
import type { Style } from './terminal.ts';

interface Flags extends JsonFlag {
  readonly url?: string;
  readonly home?: string;
}

export const define: Define = (command, session) => {
  const described = jsonFlag(command)
    .option('--url <url>', 'address of the server (NIGHTSHIFT_URL)')
    .option('--home <directory>', 'home of the server (NIGHTSHIFT_HOME)');
  examples(described, 'nightshift doctor', 'nightshift doctor --json | jq ".checks[] | select(.verdict != \\"ok\\")"')
    .addHelpText('after', '\nExits with 1 when a check failed; warnings do not count.')
    .action(async (flags: Flags) => {
      const findings = await examine(flags, session);
      const healthy = findings.every(({ verdict }) => verdict !== 'failure');
      if (flags.json) session.screen.json({ healthy, checks: findings });
      else show(session, findings);
      if (!healthy) session.end(exits.failed);
    });
};

async function examine(flags: Flags, session: Session): Promise<readonly Finding[]> {
  const { config, origins } = loadSettings(flags, session);
  const server = await serverAnswers(flags, session, config);
  const set = describeConfig(config, origins).filter(({ origin }) => !origin.startsWith('default') && origin !== 'not set').length;
  const here = [nodeVersion(process.versions.node), ok('settings', `valid, ${set} set`), home(config), keyFile(config)];
  // What a server says of itself counts for more than what this shell can see.
  const told = server.ready ? await whatServerFinds(flags, session) : undefined;
  if (told) return [...here, server.finding, ...told];
  return [...here, server.finding, ...(await database(config, server.ready)), await sandbox(config), ...(await around(config, session))];
}

export function nodeVersion(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) return ok('node', version);
  return failure(
    'node',
    version,
    'Nightshift needs Node 22.18 or later. `npm ci` in its folder brings one along; start it with `npm start` or bin/nightshift.js.',
  );
}

function home({ home: path }: Config): Finding {
  const check = 'home';
  const known = statSync(path, { throwIfNoEntry: false });
  if (!known) return warning(check, `${path} does not exist yet`, 'The first `nightshift up` makes it.');
  if (!known.isDirectory()) return failure(check, `${path} is no directory`, 'Set NIGHTSHIFT_HOME to a directory that you may write.');
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return failure(
      check,
      `${path} cannot be written`,
      "Run this as the server's user, or set NIGHTSHIFT_HOME to a directory that you may write.",
    );
  }
  const mode = known.mode & 0o777;
  if ((mode & 0o077) !== 0) return warning(check, `${path} is open to others (mode ${mode.toString(8)})`, `chmod 700 ${path}`);
  return ok(check, path);
}

function keyFile({ home: path, token }: Config): Finding {
  const check = 'key';
  const file = join(path, 'token');
  if (token !== undefined) return ok(check, 'set by the settings');
  const known = statSync(file, { throwIfNoEntry: false });
  if (!known) return warning(check, `${file} does not exist yet`, 'The first `nightshift up` makes it.');
  if ((known.mode & 0o077) !== 0) {
    return failure(
      check,
      `${file} can be read by others (mode ${(known.mode & 0o777).toString(8)})`,
      `chmod 600 ${file}; \`nightshift token rotate\` if somebody may have seen it.`,
    );
  }
  return ok(check, file);
}

/** `/ready` needs no key, so a wrong one is not what this finds. */
async function serverAnswers(
  flags: Flags,
  session: Session,
  config: Config,
): Promise<{ readonly finding: Finding; readonly ready: boolean }> {
  const check = 'server';
  const place = { ...addressOf(flags, session, config), key: undefined, keyOrigin: '', timeoutMs: 5_000 };
  try {
    const { version } = await createClient(place).get<{ version: string }>('/health');
    return { finding: ok(check, `version ${version} at ${place.address}`), ready: true };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const [found = '', ...remedy] = error.message.split('\n');
    return { finding: failure(check, found, remedy.join(' ') || 'Look at its log.'), ready: false };
  }
}

/** Undefined when it does not say: it may be older than this program, or the key may be another's. */
async function whatServerFinds(flags: Flags, session: Session): Promise<readonly Finding[] | undefined> {
  try {
    const { body } = await connect({ timeout: '60', ...flags }, session).send<{ readonly checks: readonly Finding[] }>(
      'POST',
      '/api/health',
    );
    return body.checks;
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

/** A server that is up says itself whether its store answers; otherwise the database is opened here, and only read. */
async function database(config: Config, serverUp: boolean): Promise<readonly Finding[]> {
  const check = 'database';
  const shown = config.databaseUrl === undefined ? join(config.home, 'nightshift.db') : withoutPassword(config.databaseUrl);
  if (serverUp && config.databaseUrl === undefined) return [ok(check, `${shown}, in use by the server`)];
  const { inspectStore } = await import('../main.ts');
  try {
    const { version, current, damage } = await inspectStore(config);
    if (damage !== undefined) return [failure(check, `${shown} is damaged: ${damage}`, 'Keep the file, and restore a backup.')];
    if (version > current)
      return [
        failure(check, `${shown} is at version ${version}, this program knows ${current}`, 'Use the newer Nightshift that wrote it.'),
      ];
    if (version === 0) return [ok(check, `${shown} is made at the first start`)];
    return [ok(check, `${shown}, version ${version}${version < current ? ` (becomes ${current} at the next start)` : ''}`)];
  } catch (error) {
    const remedy =
      config.databaseUrl === undefined
        ? 'Check its permissions; if it is damaged, restore a backup.'
        : 'Check DATABASE_URL and that PostgreSQL is up.';
    return [failure(check, `${shown} cannot be opened: ${reasonOf(error)}`, remedy)];
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0].message;
  return error instanceof Error ? error.message : String(error);
}

/** Starts one: whether the program is installed says little about whether it may do its work here. */
async function sandbox(config: Config): Promise<Finding> {
  const { checkSandbox } = await import('../main.ts');
  const { verdict, found, remedy, standing } = await checkSandbox(config.sandbox);
  const costs = standing.active ? [] : [...standing.doesNotHold, ...standing.costs];
  return { check: 'sandbox', verdict, found: [found, ...costs].join(' '), ...(remedy === undefined ? {} : { remedy }) };
}

/** What the server would find of what it works with, and which models it would ask. */
async function around(config: Config, { terminal }: Session): Promise<readonly Finding[]> {
  const { chooseProviders, examineOutwards, tierModels } = await import('../main.ts');
  const providersOf = (): ReturnType<typeof chooseProviders> | Finding => {
    try {
      return chooseProviders(config, { clock: terminal.clock, chance: Math.random, warn: () => undefined });
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      const remedy = 'The server does not start like this. See docs/models.md, and docs/rehearsal.md for working without a key.';
      return failure('model', error.message, remedy);
    }
  };
  const chosen = providersOf();
  const chain = 'verdict' in chosen ? [] : chosen;
  const found = await examineOutwards(config, chain, terminal.env['PATH'] ?? '', terminal.clock);
  const [first] = chain;
  if (!first) return 'verdict' in chosen ? [...found.filter(({ check }) => check !== 'providers'), chosen] : found;
  const { light, standard, deep } = tierModels(config, first.name);
  const models = standard === undefined ? "the engine's own choice of model" : [...new Set([light, standard, deep])].join(', ');
  const at = config.llmBaseUrl === undefined ? '' : ` at ${withoutPassword(config.llmBaseUrl)}`;
  const asked = chain.map(({ name }, index) => (index === 0 ? name + at : name)).join(', then ');
  return [...found, ok('model', first.name === 'rehearsal' ? 'rehearsal: a script answers, no model is asked' : `${asked}; ${models}`)];
}

const marks: Readonly<Record<Verdict, readonly [mark: string, style: Style]>> = {
  ok: ['✓', 'green'],
  warning: ['!', 'yellow'],
  failure: ['✗', 'red'],
};

function show({ screen }: Session, findings: readonly Finding[]): void {
  for (const { check, verdict, found, remedy } of findings) {
    const [mark, style] = marks[verdict];
    screen.line(`${screen.paint(style, mark)} ${check.padEnd(9)} ${oneLine(found)}`);
    if (remedy !== undefined) screen.line(`  ${' '.repeat(9)} ${screen.paint('dim', '→')} ${oneLine(remedy)}`);
  }
  const failures = findings.filter(({ verdict }) => verdict === 'failure').length;
  screen.line();
  screen.line(
    failures === 0
      ? screen.paint('green', 'Everything that must work does.')
      : screen.paint('red', `${failures} of ${findings.length} checks failed.`),
  );
}
