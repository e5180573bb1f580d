import { join } from 'node:path';
import { Option } from 'commander';
import { roles } from '../domain/access.ts';
import { makeToken, readToken } from '../home.ts';
import type { ApiKey } from './api.ts';
import { type ClientFlags, clientFlags, connect, loadSettings } from './connect.ts';
import { tryEach } from './each.ts';
import { exits, Failure, misused } from './failure.ts';
import { type Define, examples, type JsonFlag, jsonFlag, type Session } from './session.ts';
import { timeOf } from './task-flags.ts';
import { age } from './wording.ts';

interface Flags extends JsonFlag {
  readonly home?: string;
}

interface CreateFlags extends ClientFlags {
  readonly role: string;
  readonly scope?: string;
  readonly expires: string;
}

interface RotateFlags extends ClientFlags {
  readonly grace: string;
}

interface NewSecret extends ApiKey {
  readonly secret: string;
}

export const define: Define = (command, session) => {
  const flagged = (each: typeof command): typeof command =>
    jsonFlag(each).option('--home <directory>', 'home of the server (NIGHTSHIFT_HOME)');
  examples(
    flagged(command),
    'curl -H "Authorization: Bearer $(nightshift token)" http://127.0.0.1:8080/api/tasks',
    'nightshift token link',
    'nightshift token create ci',
    'nightshift token rotate ci',
    'nightshift token revoke ci',
  ).action((flags: Flags) => print(session, flags));
  const creating = clientFlags(
    command
      .command('create')
      .description('make an API key for a program or a person beside you; its secret is printed this once')
      .argument('<name>', 'lower-case words joined by dashes')
      .addOption(new Option('--role <role>', 'what it may do: look, work, or everything').choices(roles).default('viewer'))
      .option('--scope <scopes>', 'hold it to these, separated by commas: tasks, runs:read, …')
      .option('--expires <when>', 'in 30d or 12h, at a date, or never', '90d'),
  );
  examples(
    creating,
    'nightshift token create ci --role operator --scope tasks,runs:read --expires 30d',
    'nightshift token create prometheus --scope health:read --expires never',
  );
  creating.action((name: string) => create(session, creating.optsWithGlobals(), name));
  const listing = clientFlags(command.command('list').description('list the API keys'));
  listing.action(() => list(session, listing.optsWithGlobals()));
  // The options of the command itself come along, wherever on the line they stand.
  const rotation = clientFlags(
    command
      .command('rotate')
      .description("give an API key a new secret; without a name the owner's, whose old one ends at once, also on a running server")
      .argument('[name]')
      .option('--grace <length>', 'how long the old secret of a named key is taken as well: 0s, 30m, 12h, 7d', '1d'),
  );
  examples(rotation, 'nightshift token rotate ci --grace 1h', 'nightshift token rotate leaked --grace 0s');
  rotation.action((name: string | undefined) =>
    name === undefined ? rotate(session, rotation.optsWithGlobals()) : rotateKey(session, rotation.optsWithGlobals(), name),
  );
  const revoking = clientFlags(
    command.command('revoke').description('end API keys at once, with their browsers and event streams').argument('<name...>'),
  );
  revoking.action((names: readonly string[]) =>
    tryEach(
      session,
      revoking.optsWithGlobals(),
      names,
      async (client, name) => (await client.send<ApiKey>('POST', `${pathOf(name)}/revoke`)).body,
      ({ name }) => `${name}  revoked`,
    ),
  );
  const linking = clientFlags(
    command.command('link').description('print a link that logs a browser in, once, within a quarter of an hour'),
  );
  linking.action(() => link(session, linking.optsWithGlobals()));
};

async function link(session: Session, flags: ClientFlags): Promise<void> {
  const client = connect(flags, session);
  const { body } = await client.send<{ code: string; expiresAt: string }>('POST', '/api/session/code');
  const url = `${client.address}/#login=${body.code}`;
  if (flags.json) session.screen.json({ link: url, expiresAt: body.expiresAt });
  else session.screen.line(url);
}

function print(session: Session, flags: Flags): void {
  const { config } = loadSettings(flags, session);
  const token = readToken(config.home, config.token);
  if (!token) {
    throw new Failure(
      exits.failed,
      'no-token',
      `There is no API key in ${config.home} yet. The first \`nightshift up\` makes one; so does \`nightshift token rotate\`.`,
    );
  }
  if (flags.json) session.screen.json({ token, file: config.token === undefined ? join(config.home, 'token') : null });
  else session.screen.line(token);
}

function rotate(session: Session, flags: Flags): void {
  const { config, origins } = loadSettings(flags, session);
  if (config.token !== undefined) throw misused(`The API key is set by ${origins.token}; change it there.`);
  const token = makeToken(config.home);
  if (flags.json) {
    session.screen.json({ token, file: join(config.home, 'token') });
    return;
  }
  session.screen.line(token);
  session.screen.remark('This is the key from now on. A running server takes it up by itself; the old key is worth nothing any more.');
}

const pathOf = (name: string): string => `/api/keys/${encodeURIComponent(name)}`;

async function create(session: Session, flags: CreateFlags, name: string): Promise<void> {
  const wish = {
    name,
    role: flags.role,
    ...(flags.scope === undefined ? {} : { scopes: flags.scope.split(/[\s,]+/).filter((each) => each !== '') }),
    expiresAt: flags.expires === 'never' ? null : timeOf(flags.expires, session.terminal.clock.now(), '--expires'),
  };
  const { body } = await connect(flags, session).send<NewSecret>('POST', '/api/keys', wish);
  tell(session, flags, body);
}

async function rotateKey(session: Session, flags: RotateFlags, name: string): Promise<void> {
  const now = session.terminal.clock.now();
  const graceSeconds = Math.max(0, Math.round((Date.parse(timeOf(flags.grace, now, '--grace')) - now) / 1_000));
  const { body } = await connect(flags, session).send<NewSecret>('POST', `${pathOf(name)}/rotate`, { graceSeconds });
  tell(session, flags, body);
}

function tell({ screen }: Session, flags: ClientFlags, key: NewSecret): void {
  if (flags.json) {
    screen.json(key);
    return;
  }
  screen.line(key.secret);
  const may = key.scopes === null ? key.role : `${key.role}, for ${key.scopes.join(', ')}`;
  screen.remark(`${key.name} (${may}), ${key.expiresAt === null ? 'without an end' : `until ${key.expiresAt}`}. This is shown once.`);
  if (key.oldSecretUntil !== null) screen.remark(`The old secret is taken until ${key.oldSecretUntil}.`);
}

async function list(session: Session, flags: ClientFlags): Promise<void> {
  const keys = await connect(flags, session).get<{ readonly items: readonly ApiKey[] }>('/api/keys');
  const { screen, terminal } = session;
  if (flags.json) return screen.json(keys);
  const now = terminal.clock.now();
  screen.table(
    ['NAME', 'STATE', 'ROLE', 'LAST USED', 'EXPIRES', 'SCOPES'],
    keys.items.map((key) => [
      key.name,
      { text: key.state, style: key.state === 'active' ? undefined : 'dim' },
      key.role,
      key.lastUsedAt === null ? 'never' : screen.rich ? age(key.lastUsedAt, now) : key.lastUsedAt,
      key.expiresAt ?? 'never',
      key.scopes?.join(' ') ?? 'all',
    ]),
  );
}
