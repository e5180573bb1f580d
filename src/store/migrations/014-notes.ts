import type { Migration } from './migration.ts';

export const notes: Migration = {
  name: 'notes',
  statements: (dialect) => {
    const id = dialect === 'postgres' ? 'text collate "C"' : 'text';
    const seq = dialect === 'postgres' ? 'bigint generated always as identity primary key' : 'integer primary key';
    const words = dialect === 'postgres' ? ', words tsvector not null' : '';
    return [
      ...(dialect === 'postgres' ? porterWords : []),
      `create table notes (
        seq ${seq},
        id ${id} not null,
        kind text not null,
        repository text,
        author text,
        task_id ${id},
        run_id ${id},
        trust text not null,
        tags text not null,
        importance integer not null,
        hash text not null,
        times integer not null,
        superseded_by ${id},
        size integer not null,
        created_at bigint not null,
        updated_at bigint not null,
        title text not null,
        text text not null
        ${words}
      )`,
      `create unique index notes_ids on notes (id)`,
      `create unique index notes_hashes on notes (hash)`,
      `create index notes_of_repository on notes (repository, id)`,
      `create index notes_of_kind on notes (kind, id)`,
      `create index notes_superseded on notes (superseded_by) where superseded_by is not null`,
      // Sums are read from it alone: which repositories have so much of machines that it is time for a summary.
      `create index notes_current on notes (repository, id, task_id, trust, size, superseded_by) where superseded_by is null`,
      ...(dialect === 'postgres'
        ? // A list of pending entries would make searches slow now and then; notes are few, and searches many.
          [`create index notes_words on notes using gin (words) with (fastupdate = off)`]
        : // What is searched is not the text itself but the words made of it, so there is no need to keep that.
          [
            `create virtual table notes_fts using fts5(title, tags, text, scope, content = '', contentless_delete = 1, tokenize = 'porter unicode61')`,
          ]),
    ];
  },
};

/** The stemmer of SQLite, without the words that PostgreSQL would leave out: both shall find the same. */
const porterWords = [
  `create text search dictionary nightshift_stem (template = snowball, language = porter)`,
  `create text search configuration nightshift (copy = pg_catalog.simple)`,
  `alter text search configuration nightshift alter mapping for asciiword, word, numword with nightshift_stem`,
];
