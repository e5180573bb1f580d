import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { bytes, localTime } from './wording.ts';

interface Backup {
  readonly file: string;
  readonly bytes: number;
  readonly madeAt: string;
}

/** A big database takes its time. */
const patience = '3600';

export const define: Define = (command, session) => {
  examples(
    clientFlags(command),
    'nightshift backup',
    'nightshift backup list',
    'nightshift restore nightshift-20261121T180000Z.tar.gz --home ~/new',
  )
    .addHelpText('after', '\nThe server makes it while it works, and one a day by itself. It is kept on the disk of the server.')
    .action((flags: ClientFlags) => make(session, flags));
  const listing = clientFlags(command.command('list').description('list the backups there are'));
  listing.action(() => list(session, listing.optsWithGlobals()));
};

async function make(session: Session, flags: ClientFlags): Promise<void> {
  const { screen } = session;
  if (!flags.json) screen.remark('Copying …');
  const { body } = await connect({ timeout: patience, ...flags }, session).send<Backup>('POST', '/api/backups');
  if (flags.json) return screen.json(body);
  screen.line(`${oneLine(body.file)}  ${bytes(body.bytes)}`);
}

async function list(session: Session, flags: ClientFlags): Promise<void> {
  const { screen } = session;
  const found = await connect(flags, session).get<{ readonly items: readonly Backup[]; readonly failure: string | null }>('/api/backups');
  if (flags.json) return screen.json(found);
  screen.table(
    ['MADE', 'SIZE', 'FILE'],
    found.items.map(({ file, bytes: size, madeAt }) => [localTime(madeAt), bytes(size), file]),
  );
  if (found.items.length === 0) screen.remark('There is none yet. `nightshift backup` makes one.');
  if (found.failure !== null) screen.remark(`The last one could not be made: ${oneLine(found.failure)}`);
}
