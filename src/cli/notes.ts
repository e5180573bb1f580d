import { type Command, Option } from 'commander';
import { noteKinds, noteTrusts } from '../domain/note.ts';
import type { Note, Page } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { tryEach } from './each.ts';
import { misused } from './failure.ts';
import { block, oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { gather, textFrom } from './task-flags.ts';
import { age } from './wording.ts';

interface ListFlags extends ClientFlags {
  readonly repository?: string;
  readonly global?: true;
  readonly kind?: string;
  readonly condensed?: true;
  readonly limit?: string;
}

interface NoteFlags extends ClientFlags {
  readonly title?: string;
  readonly text?: string;
  readonly textFile?: string;
  readonly repository?: string;
  readonly global?: true;
  readonly kind?: string;
  readonly trust?: string;
  readonly tag?: readonly string[];
  readonly importance?: string;
}

export const define: Define = (command, session) => {
  examples(
    listFlags(command),
    'nightshift notes --repository https://github.com/acme/shop',
    'nightshift notes search "flaky login test"',
    'nightshift notes add --help',
    'nightshift notes delete nte_01KEXAMPLE000000000000000',
  ).action((flags: ListFlags) => list(session, flags));

  const searching = command.command('search').description('search what is remembered').argument('<words...>');
  listFlags(searching).action((words: readonly string[]) => list(session, searching.optsWithGlobals<ListFlags>(), words.join(' ')));

  const showing = clientFlags(command.command('show').description('show one note').argument('<id>'));
  showing.action(async (id: string) => {
    const flags = showing.optsWithGlobals<ClientFlags>();
    const note = await connect(flags, session).get<Note>(pathOf(id));
    if (flags.json) session.screen.json(note);
    else show(session, note);
  });

  const adding = noteFlags(command.command('add').description('remember something').argument('<title>'));
  examples(adding, 'nightshift notes add "The tests need Redis" --text "Start it with make redis." -r https://github.com/acme/shop').action(
    async (title: string) => {
      const flags = adding.optsWithGlobals<NoteFlags>();
      const said = await changesIn(flags, session);
      if (said['text'] === undefined) throw misused('A note needs a text: give it with --text or --text-file.');
      const { body: note } = await connect(flags, session).send<Note>('POST', '/api/notes', { title, ...said });
      if (flags.json) session.screen.json(note);
      else session.screen.line(note.times === 1 ? note.id : `${note.id}  was known, said ${note.times} times`);
    },
  );

  const editing = noteFlags(command.command('edit').description('change a note; what is not named stays').argument('<id>'));
  editing.option('--title <text>', 'what it is about, in one line').action(async (id: string) => {
    const flags = editing.optsWithGlobals<NoteFlags>();
    const change = { ...(flags.title === undefined ? {} : { title: flags.title }), ...(await changesIn(flags, session)) };
    const { body: note } = await connect(flags, session).send<Note>('PATCH', pathOf(id), change);
    if (flags.json) session.screen.json(note);
    else session.screen.line(`${note.id}  changed`);
  });

  const deleting = clientFlags(command.command('delete').description('forget notes').argument('<id...>'));
  deleting.action((ids: readonly string[]) =>
    tryEach(
      session,
      deleting.optsWithGlobals<ClientFlags>(),
      ids,
      async (client, id) => {
        await client.delete(pathOf(id));
        return { id };
      },
      ({ id }) => `${oneLine(id)}  deleted`,
    ),
  );
};

const listFlags = (command: Command): Command =>
  clientFlags(
    command
      .option('-r, --repository <url|path>', 'only about this repository')
      .option('--global', 'only about all repositories')
      .addOption(new Option('-k, --kind <kind>', 'only these').choices(noteKinds))
      .option('--condensed', 'also what a summary stands for')
      .option('-n, --limit <count>', 'how many'),
  );

const noteFlags = (command: Command): Command =>
  clientFlags(
    command
      .option('-t, --text <text>', 'what is to be known; - reads it from standard input')
      .option('--text-file <file>', 'read the text from a file')
      .option('-r, --repository <url|path>', 'the repository that it is about')
      .option('--global', 'it is about all repositories')
      .addOption(new Option('-k, --kind <kind>', 'what kind of note it is').choices(noteKinds))
      .addOption(new Option('--trust <trust>', 'untrusted ones are shown to agents as data').choices(noteTrusts))
      .option('--tag <tag>', 'tag to give it; can be repeated', gather)
      .option('--importance <1-10>', 'how much it matters'),
  );

/** What only the server can judge is left to the server. */
async function changesIn(flags: NoteFlags, { terminal }: Session): Promise<Record<string, unknown>> {
  if (flags.global && flags.repository !== undefined) throw misused('--global and --repository contradict each other.');
  const fields = {
    text: await textFrom('text', flags.text, flags.textFile, terminal),
    repository: flags.global ? null : flags.repository,
    kind: flags.kind,
    trust: flags.trust,
    tags: flags.tag,
    importance: flags.importance === undefined ? undefined : Number(flags.importance),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

async function list(session: Session, flags: ListFlags, words?: string): Promise<void> {
  const { repository, kind, limit = '50' } = flags;
  const given = { q: words, repository, kind, limit, global: flags.global && 'true', condensed: flags.condensed && 'true' };
  const query = new URLSearchParams(Object.entries(given).filter((pair): pair is [string, string] => pair[1] !== undefined));
  const page = await connect(flags, session).get<Page<Note>>(`/api/notes?${query}`);
  const { screen, terminal } = session;
  if (flags.json) return screen.json(page);
  screen.table(
    ['ID', 'KIND', 'AGE', 'TIMES', 'TITLE'],
    page.items.map((note) => [
      note.id,
      note.kind,
      screen.rich ? age(note.updatedAt, terminal.clock.now()) : note.updatedAt,
      String(note.times),
      oneLine(note.title),
    ]),
  );
}

function show({ screen }: Session, note: Note): void {
  const { origin } = note;
  const fields: readonly (readonly [string, string | null])[] = [
    ['id', note.id],
    ['kind', note.kind],
    ['about', note.repository ?? 'all repositories'],
    ['said by', origin.name ?? origin.runId ?? origin.taskId],
    ['said', note.times === 1 ? note.createdAt : `${note.times} times, last ${note.updatedAt}`],
    ['trust', note.trust],
    ['importance', String(note.importance)],
    ['tags', note.tags.join(', ')],
    ['replaced by', note.supersededBy],
  ];
  screen.line(screen.paint('bold', oneLine(note.title)));
  for (const [label, value] of fields) if (value) screen.line(`  ${screen.paint('dim', label.padEnd(11))} ${oneLine(value)}`);
  screen.line();
  for (const line of block(note.text).trimEnd().split('\n')) screen.line(`  ${line}`);
}

const pathOf = (id: string): string => `/api/notes/${encodeURIComponent(id)}`;
