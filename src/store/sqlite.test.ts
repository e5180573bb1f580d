import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { temporaryHome } from '../../test/support/stores.ts';
import { StoreUnavailable, Unusable } from '../domain/errors.ts';
import { append, readAfter } from './journal.ts';
import { openSqlite } from './sqlite.ts';
import type { Store, Tx } from './store.ts';

let home: string;
let path: string;
let store: Store;

beforeEach(async () => {
  home = temporaryHome();
  path = join(home, 'nightshift.db');
  store = await openSqlite(path);
});

afterEach(async () => {
  await store.close();
  rmSync(home, { recursive: true, force: true });
});

const note = (tx: Tx, text: string): Promise<void> => append(tx, [{ type: 'run.notice', data: { text } }], 0);
const notes = async (): Promise<readonly unknown[]> => (await readAfter(store, '0', 100_000)).map(({ data }) => data['text']);
/** A setting of the connection that writes, made as an operator could not. */
const onWriter = (pragma: string): Promise<unknown> => store.write(({ db }) => sql.raw(`pragma ${pragma}`).execute(db));
const refusal = (attempt: Promise<unknown>): Promise<unknown> =>
  attempt.then(
    () => 'no refusal',
    (error: unknown) => error,
  );

describe('group commit', () => {
  test('lets changes that come together share a commit, and so a disk sync', async () => {
    await store.write((tx) => note(tx, 'first'));
    const before = commitsIn(`${path}-wal`);
    await Promise.all(Array.from({ length: 100 }, (_, i) => store.write((tx) => note(tx, `${i}`))));
    expect(await notes()).toHaveLength(101);
    expect(commitsIn(`${path}-wal`) - before).toBe(1);
  });

  test('does not make a change wait for others that never come', async () => {
    const before = commitsIn(`${path}-wal`);
    for (let i = 0; i < 5; i++) await store.write((tx) => note(tx, `${i}`));
    expect(commitsIn(`${path}-wal`) - before).toBe(5);
  });

  test('acknowledges only what another reader of the file can see', async () => {
    const other = new Database(path, { readonly: true });
    const count = other.prepare<[], number>('select count(*) from events').pluck();
    await Promise.all(
      Array.from({ length: 300 }, async (_, i) => {
        await store.write((tx) => note(tx, `${i}`));
        expect(count.get()).toBeGreaterThan(i);
      }),
    );
    other.close();
  });
});

describe('a full disk', () => {
  test('refuses what does not fit, keeps what was acknowledged, and goes on once there is room', async () => {
    const acknowledged: string[] = [];
    const fill = async (rounds: number): Promise<readonly unknown[]> =>
      (
        await Promise.all(
          Array.from({ length: rounds }, (_, i) => {
            const text = `${acknowledged.length}.${i} ${'x'.repeat(4_000)}`;
            return store
              .write((tx) => note(tx, text))
              .then(
                () => void acknowledged.push(text),
                (error: unknown) => error,
              );
          }),
        )
      ).filter((error) => error !== undefined);

    expect(await fill(20)).toEqual([]);
    const { page_count: pages } = (await sql<{ page_count: number }>`pragma page_count`.execute(store.read)).rows[0] ?? { page_count: 0 };
    await onWriter(`max_page_count = ${pages + 20}`);
    const refused = await fill(200);
    expect(refused.length).toBeGreaterThan(0);
    for (const error of refused) {
      expect(error).toBeInstanceOf(StoreUnavailable);
      expect(error).toMatchObject({ code: 'store-full', status: 503 });
    }
    expect((await notes()).toSorted()).toEqual(acknowledged.toSorted());
    await store.ping();

    await onWriter('max_page_count = 1000000');
    expect(await fill(50)).toEqual([]);
    expect((await notes()).toSorted()).toEqual(acknowledged.toSorted());
    expect(integrity(path)).toBe('ok');
  });
});

describe('a database that somebody else holds', () => {
  test('is waited for, without holding up anything else', async () => {
    const other = new Database(path);
    other.exec('begin immediate');
    let written = false;
    const writing = store
      .write((tx) => note(tx, 'patient'))
      .then(() => {
        written = true;
      });
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(written).toBe(false);
    expect(await notes()).toEqual([]);
    other.exec('commit');
    other.close();
    await writing;
    expect(await notes()).toEqual(['patient']);
  });
});

describe('a database that cannot be written', () => {
  test('says so, and is read on', async () => {
    await store.write((tx) => note(tx, 'before'));
    await onWriter('query_only = on');
    expect(await refusal(store.write((tx) => note(tx, 'after')))).toMatchObject({ code: 'store-read-only', status: 503 });
    expect(await notes()).toEqual(['before']);
  });
});

describe('a damaged database', () => {
  const spoilt = (name: string, spoil: (file: string) => void): string => {
    const directory = join(home, name);
    mkdirSync(directory);
    const file = join(directory, 'nightshift.db');
    spoil(file);
    return file;
  };

  test('is refused at the start, with its path and what to do', async () => {
    await store.close();
    const files = [
      spoilt('text', (file) => writeFileSync(file, 'These are my notes.\n'.repeat(500))),
      spoilt('zeros', (file) => writeFileSync(file, Buffer.alloc(8_192, 1))),
      spoilt('header', (file) => {
        copyFileSync(path, file);
        writeFileSync(file, Buffer.concat([Buffer.from('SQLite format 2\0'), readFileSync(file).subarray(16)]));
      }),
      spoilt('schema', (file) => {
        copyFileSync(path, file);
        const bytes = readFileSync(file);
        bytes.fill(0xaa, 100, 4_096);
        writeFileSync(file, bytes);
      }),
    ];
    for (const file of files) {
      const error = await refusal(openSqlite(file));
      expect(error, file).toBeInstanceOf(Unusable);
      expect(error).toMatchObject({ code: 'store-corrupt', message: expect.stringContaining(file) });
      expect((error as Unusable).message).toContain('restore a backup');
    }
    store = await openSqlite(path);
  });

  test('is refused when it is a directory, or lies in one that is not there', async () => {
    const directory = spoilt('directory', (file) => mkdirSync(file));
    for (const file of [directory, join(home, 'nowhere', 'nightshift.db')]) {
      expect(await refusal(openSqlite(file))).toMatchObject({ code: 'store-unusable', message: expect.stringContaining(file) });
    }
  });

  test('whose damage shows only later answers 503 for what it hits', async () => {
    for (let i = 0; i < 50; i++) await store.write((tx) => note(tx, `${i} ${'x'.repeat(3_000)}`));
    await store.close();
    const size = statSync(path).size;
    const bytes = readFileSync(path);
    bytes.fill(0x55, size - 40 * 4_096);
    writeFileSync(path, bytes);
    store = await openSqlite(path);
    await store.ping();
    const error = await refusal(readAfter(store, '0', 1_000));
    expect(error).toBeInstanceOf(StoreUnavailable);
    expect(error).toMatchObject({ code: 'store-corrupt', status: 503 });
  });

  test('that was cut off in the middle of its log opens with what was committed', async () => {
    await store.write((tx) => note(tx, 'kept'));
    const whole = statSync(`${path}-wal`).size;
    await store.write((tx) => note(tx, 'torn'));
    const copy = spoilt('torn', (file) => copyWhole(path, file));
    truncateSync(`${copy}-wal`, whole + 1_000);
    const torn = await openSqlite(copy);
    expect((await readAfter(torn, '0', 10)).map(({ data }) => data['text'])).toEqual(['kept']);
    await torn.close();
  });
});

test('the files of the database are for their owner alone', async () => {
  await store.write((tx) => note(tx, 'secret'));
  const files = readdirSync(home).filter((name) => name.startsWith('nightshift.db'));
  expect(files.sort()).toEqual(['nightshift.db', 'nightshift.db-shm', 'nightshift.db-wal']);
  for (const name of files) expect((statSync(join(home, name)).mode & 0o777).toString(8), name).toBe('600');
});

/** Each commit ends with a frame that names the size of the database; those of an earlier round of the log carry another salt. */
function commitsIn(wal: string): number {
  const bytes = readFileSync(wal);
  const pageSize = bytes.readUInt32BE(8);
  const salt = bytes.subarray(16, 24);
  let commits = 0;
  for (let frame = 32; frame + 24 + pageSize <= bytes.length; frame += 24 + pageSize) {
    if (bytes.subarray(frame + 8, frame + 16).equals(salt) && bytes.readUInt32BE(frame + 4) !== 0) commits += 1;
  }
  return commits;
}

/** The database with its log, as a copy of the disk would have it. */
function copyWhole(from: string, to: string): void {
  copyFileSync(from, to);
  copyFileSync(`${from}-wal`, `${to}-wal`);
}

function integrity(file: string): unknown {
  const database = new Database(file, { readonly: true });
  try {
    return database.pragma('integrity_check', { simple: true });
  } finally {
    database.close();
  }
}
