import { createHash } from 'node:crypto';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { type NewNote, type Note, type NoteKind, type NoteOrigin, type NoteTrust, noteText } from '../domain/note.ts';
import { askedWords, searchWords } from '../domain/words.ts';
import type { Dialect } from './migrations/migration.ts';
import { chunks, type Page, pageOf } from './rows.ts';
import type { NoteTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** What makes two notes one. */
export const hashOf = ({ kind, repository, title, text }: Pick<NewNote, 'kind' | 'repository' | 'title' | 'text'>): string =>
  createHash('sha256')
    .update(JSON.stringify([kind, repository, title, text]))
    .digest('hex');

/**
 * Stores a note, or counts the one that says the same. What is said anew counts again although a summary stood for it, and
 * what a trusted origin says word for word is trusted.
 */
export async function saveNote(tx: Tx, note: Note): Promise<{ readonly note: Note; readonly isNew: boolean }> {
  const { seq, ...row } = await tx.db
    .insertInto('notes')
    .values({ ...columnsOf(note), ...(await wordColumn(tx, note)) })
    .onConflict((conflict) =>
      conflict.column('hash').doUpdateSet((values) => ({
        times: sql<number>`notes.times + 1`,
        superseded_by: null,
        trust: sql<NoteTrust>`case when excluded.trust = 'trusted' then 'trusted' else notes.trust end`,
        importance: sql<number>`case when excluded.importance > notes.importance then excluded.importance else notes.importance end`,
        updated_at: values.ref('excluded.updated_at'),
      })),
    )
    .returning(['seq', ...columns])
    .executeTakeFirstOrThrow();
  const saved = toNote(row);
  await index(tx, seq, saved);
  return { note: saved, isNew: saved.id === note.id };
}

/** False when another note says the same already; then nothing is changed. */
export async function replaceNote(tx: Tx, note: Note): Promise<boolean> {
  const twin = await tx.db.selectFrom('notes').select('id').where('hash', '=', note.hash).where('id', '<>', note.id).executeTakeFirst();
  if (twin) return false;
  const { id, ...row } = columnsOf(note);
  const saved = await tx.db
    .updateTable('notes')
    .set({ ...row, ...(await wordColumn(tx, note)) })
    .where('id', '=', id)
    .returning('seq')
    .executeTakeFirst();
  if (saved) await index(tx, saved.seq, note);
  return true;
}

/** What a summary stood for counts again once that is gone, unless another summary stands for that one. */
export async function deleteNote(tx: Tx, { id, supersededBy }: Pick<Note, 'id' | 'supersededBy'>): Promise<void> {
  await supersede(tx, await idsSupersededBy(tx.db, id), supersededBy);
  const gone = await tx.db.deleteFrom('notes').where('id', '=', id).returning('seq').executeTakeFirst();
  if (gone && tx.dialect === 'sqlite') await sql`delete from notes_fts where rowid = ${gone.seq}`.execute(tx.db);
}

/** From now on a summary stands for these; with null, they stand for themselves. */
export async function supersede(tx: Tx, ids: readonly string[], by: string | null): Promise<void> {
  for (const chunk of chunks(ids)) {
    const rows = await tx.db
      .updateTable('notes')
      .set({ superseded_by: by })
      .where('id', 'in', chunk)
      .returning(['seq', ...columns])
      .execute();
    for (const { seq, ...row } of rows) await index(tx, seq, toNote(row));
  }
}

export async function findNote(db: Kysely<Schema>, id: string): Promise<Note | undefined> {
  const row = await db.selectFrom('notes').select(columns).where('id', '=', id).executeTakeFirst();
  return row && toNote(row);
}

/** As it stands, held against other writers until the transaction ends. */
export async function lockNotes(tx: Tx, ids: readonly string[]): Promise<ReadonlyMap<string, Note>> {
  const found = new Map<string, Note>();
  for (const chunk of chunks([...new Set(ids)].sort())) {
    let query = tx.db.selectFrom('notes').select(columns).where('id', 'in', chunk).orderBy('id');
    if (tx.dialect === 'postgres') query = query.forUpdate();
    for (const row of await query.execute()) found.set(row.id, toNote(row));
  }
  return found;
}

export interface NoteFilter {
  /** Null is what is about all repositories. */
  readonly repository?: string | null | undefined;
  readonly kind?: NoteKind | undefined;
  /** Also what a summary stands for. */
  readonly condensed?: boolean | undefined;
}

/** Newest first. */
export async function listNotes(
  db: Kysely<Schema>,
  filter: NoteFilter,
  { before, limit }: { readonly before: string | null; readonly limit: number },
): Promise<Page<Note>> {
  let query = db
    .selectFrom('notes')
    .select(columns)
    .orderBy('id', 'desc')
    .limit(limit + 1);
  if (before !== null) query = query.where('id', '<', before);
  if (filter.repository === null) query = query.where('repository', 'is', null);
  else if (filter.repository !== undefined) query = query.where('repository', '=', filter.repository);
  if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
  if (!filter.condensed) query = query.where('superseded_by', 'is', null);
  return pageOf((await query.execute()).map(toNote), limit);
}

/** Of words that are everywhere, only the most recent notes that have them are weighed: their number must not cost time. */
const weighed = 1_000;
/** After thirty days a note counts three quarters of what it counts when it is new, and never less than half of it. */
const worth = (now: number): RawBuilder<number> =>
  sql<number>`(0.5 + 0.5 / (1 + abs(${now} - updated_at) / ${sql.raw((30 * 86_400_000).toFixed(1))})) * (0.75 + importance / 20.0)`;
const mostWords = 16;

/**
 * The notes that speak of what is asked, the most telling first: by how well the words fit (title before tags before text),
 * how recent it is, and how important. `all` wants every word in a note; without it one is enough. Any text can be asked for.
 */
export async function searchNotes(
  { read: db, dialect }: { readonly read: Kysely<Schema>; readonly dialect: Dialect },
  asked: string,
  { all, now, ...filter }: NoteFilter & { readonly all: boolean; readonly now: number },
  { skip = 0, limit }: { readonly skip?: number; readonly limit: number },
): Promise<readonly Note[]> {
  const words = askedWords(asked, mostWords);
  if (words.length === 0) return [];
  const matching = dialect === 'sqlite' ? await matchingInSqlite(db, words, all, filter) : matchingInPostgres(words, all, filter);
  // Texts are read of those alone that are answered with.
  const { rows } = await sql<NoteRow>`
    select ${sql.join(columns.map((column) => sql.ref(`notes.${column}`)))} from (
      select seq, fits * ${worth(now)} as score from (${matching}) as found
      order by score desc, seq desc limit ${limit} offset ${skip}
    ) as best join notes on notes.seq = best.seq order by best.score desc, best.seq desc`.execute(db);
  return rows.map(toNote);
}

async function matchingInSqlite(
  db: Kysely<Schema>,
  words: readonly string[],
  all: boolean,
  filter: NoteFilter,
): Promise<RawBuilder<unknown>> {
  // Words have letters and digits only, and stand in quotes: none of them is an operator.
  const any = words.map((word) => `"${word}"`).join(all ? ' AND ' : ' OR ');
  const scope = scopeAsked(filter);
  const query = `{title tags text} : (${any})${scope === undefined ? '' : ` AND scope : "${scope}"`}`;
  const { rows } = await sql<{ rowid: number }>`
    select rowid from notes_fts where notes_fts match ${query} order by rowid desc limit 1 offset ${weighed - 1}`.execute(db);
  return sql`
    select seq, updated_at, importance, -bm25(notes_fts, 4.0, 2.0, 1.0, 0.0) as fits
    from notes_fts join notes on notes.seq = notes_fts.rowid
    where notes_fts match ${query} and notes_fts.rowid >= ${rows[0]?.rowid ?? 0} ${ofKind(filter)}`;
}

function matchingInPostgres(words: readonly string[], all: boolean, filter: NoteFilter): RawBuilder<unknown> {
  const { repository, condensed } = filter;
  const query = sql`to_tsquery('nightshift', ${words.map((word) => `'${word}'`).join(all ? ' & ' : ' | ')})`;
  const about = repository === undefined ? sql`` : repository === null ? sql`and repository is null` : sql`and repository = ${repository}`;
  return sql`
    select seq, updated_at, importance, ts_rank('{0.1, 0.2, 0.4, 1.0}', words, ${query}, 1) as fits from (
      select seq, updated_at, importance, words from notes
      where words @@ ${query} ${about} ${ofKind(filter)} ${condensed ? sql`` : sql`and superseded_by is null`}
      order by seq desc limit ${weighed}
    ) as recent`;
}

const ofKind = ({ kind }: NoteFilter): RawBuilder<unknown> => (kind === undefined ? sql`` : sql`and kind = ${kind}`);

/**
 * Of repositories whose current notes of machines come to more than so many bytes: their total, and whether more of that is
 * trusted or untrusted. The largest first.
 */
export async function volumes(
  db: Kysely<Schema>,
  bytes: number,
): Promise<readonly { readonly repository: string | null; readonly trust: NoteTrust; readonly total: number }[]> {
  const rows = await db
    .selectFrom('notes')
    .select([
      'repository',
      sql<number>`sum(size)`.as('total'),
      sql<number>`sum(case when trust = 'trusted' then size else 0 end)`.as('trusted'),
    ])
    .where('superseded_by', 'is', null)
    .where('task_id', 'is not', null)
    .groupBy('repository')
    .having(sql<number>`sum(size)`, '>', bytes)
    .orderBy('total', 'desc')
    .execute();
  return rows.map(({ repository, total, trusted }) => ({ repository, trust: trusted * 2 >= total ? 'trusted' : 'untrusted', total }));
}

/**
 * The current ones that a summary may stand for: the newest first, or with `before` those that are older than a note, and all
 * summaries, the oldest first. What people wrote stays as they wrote it.
 */
export async function notesOfMachines(
  db: Kysely<Schema>,
  { repository, trust }: { readonly repository: string | null; readonly trust: NoteTrust },
  { before, limit }: { readonly before?: string; readonly limit: number },
): Promise<readonly Note[]> {
  const query = db
    .selectFrom('notes')
    .select(columns)
    .where('repository', repository === null ? 'is' : '=', repository)
    .where('trust', '=', trust)
    .where('superseded_by', 'is', null)
    .where('task_id', 'is not', null)
    .limit(limit);
  const rows =
    before === undefined
      ? query.where('kind', '<>', 'summary').orderBy('id', 'desc')
      : query.where((where) => where.or([where('kind', '=', 'summary'), where('id', '<', before)])).orderBy('id');
  return (await rows.execute()).map(toNote);
}

const idsSupersededBy = async (db: Kysely<Schema>, id: string): Promise<readonly string[]> =>
  (await db.selectFrom('notes').select('id').where('superseded_by', '=', id).execute()).map((row) => row.id);

/** Words of its own for each set of notes that is searched, so that the index of the words leads to no others. */
const scopesOf = ({ repository, supersededBy }: Note): string =>
  [`r${scopeKey(repository)}`, ...(supersededBy === null ? [`c${scopeKey(repository)}`, 'current'] : [])].join(' ');

function scopeAsked({ repository, condensed }: NoteFilter): string | undefined {
  if (repository === undefined) return condensed ? undefined : 'current';
  return `${condensed ? 'r' : 'c'}${scopeKey(repository)}`;
}

const scopeKey = (repository: string | null): string =>
  repository === null ? 'global' : createHash('sha256').update(repository).digest('hex').slice(0, 20);

async function index(tx: Tx, seq: number, note: Note): Promise<void> {
  if (tx.dialect !== 'sqlite') return;
  const { title, tags, text } = wordsOf(note);
  await sql`insert or replace into notes_fts (rowid, title, tags, text, scope) values (${seq}, ${title}, ${tags}, ${text}, ${scopesOf(note)})`.execute(
    tx.db,
  );
}

/** On PostgreSQL the words stand in the row itself. */
async function wordColumn({ dialect }: Tx, note: Note): Promise<{ readonly words?: RawBuilder<string> }> {
  if (dialect !== 'postgres') return {};
  const { title, tags, text } = wordsOf(note);
  return {
    words: sql<string>`setweight(to_tsvector('nightshift', ${title}), 'A') || setweight(to_tsvector('nightshift', ${tags}), 'B')
      || setweight(to_tsvector('nightshift', ${text}), 'D')`,
  };
}

const wordsOf = ({ title, tags, text }: Note): { readonly title: string; readonly tags: string; readonly text: string } => ({
  title: searchWords(title),
  tags: searchWords(tags.join(' ')),
  text: searchWords(text),
});

const columns = [
  'id',
  'kind',
  'repository',
  'title',
  'text',
  'author',
  'task_id',
  'run_id',
  'trust',
  'tags',
  'importance',
  'hash',
  'times',
  'superseded_by',
  'created_at',
  'updated_at',
] as const satisfies readonly (keyof NoteTable)[];

type NoteRow = Pick<NoteTable, (typeof columns)[number]>;

const columnsOf = (note: Note): Omit<NoteTable, 'seq' | 'words'> => ({
  id: note.id,
  kind: note.kind,
  repository: note.repository,
  title: note.title,
  text: note.text,
  author: note.origin.kind === 'person' ? note.origin.name : null,
  task_id: note.origin.kind === 'person' ? null : note.origin.taskId,
  run_id: note.origin.kind === 'run' ? note.origin.runId : null,
  trust: note.trust,
  tags: JSON.stringify(note.tags),
  importance: note.importance,
  hash: note.hash,
  times: note.times,
  superseded_by: note.supersededBy,
  size: Buffer.byteLength(noteText(note)),
  created_at: note.createdAt,
  updated_at: note.updatedAt,
});

const toNote = (row: NoteRow): Note => ({
  id: row.id,
  kind: row.kind,
  repository: row.repository,
  title: row.title,
  text: row.text,
  origin: originOf(row),
  trust: row.trust,
  tags: JSON.parse(row.tags) as string[],
  importance: row.importance,
  hash: row.hash,
  times: row.times,
  supersededBy: row.superseded_by,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

function originOf({ author, task_id: taskId, run_id: runId }: NoteRow): NoteOrigin {
  if (taskId === null) return { kind: 'person', name: author ?? '' };
  return runId === null ? { kind: 'task', taskId } : { kind: 'run', taskId, runId };
}
