import { join } from 'node:path';
import { makeToken, readToken } from '../home.ts';
import { type ClientFlags, clientFlags, connect, loadSettings } from './connect.ts';
import { exits, Failure, misused } from './failure.ts';
import { type Define, examples, type JsonFlag, jsonFlag, type Session } from './session.ts';

interface Flags extends JsonFlag {
  readonly home?: string;
}

export const define: Define = (command, session) => {
  const flagged = (each: typeof command): typeof command =>
    jsonFlag(each).option('--home <directory>', 'home of the server (NIGHTSHIFT_HOME)');
  examples(
    flagged(command),
    'curl -H "Authorization: Bearer $(nightshift token)" http://127.0.0.1:8080/api/tasks',
    'nightshift token link',
    'nightshift token rotate',
  ).action((flags: Flags) => print(session, flags));
  // The options of the command itself come along, wherever on the line they stand.
  const rotation = flagged(command.command('rotate').description('make a new key; the old one ends at once, also on a running server'));
  rotation.action(() => rotate(session, rotation.optsWithGlobals()));
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
