import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import { Unusable } from '../domain/errors.ts';
import { append, beginning, comparePositions, endOf, latest, parsePosition, readAfter } from './journal.ts';
import { readSetting, writeSetting } from './settings.ts';
import type { Store, Topic, Tx } from './store.ts';

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`the store on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    const opened: Store[] = [];

    const open = async (): Promise<Store> => {
      const another = await database.open();
      opened.push(another);
      return another;
    };

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await open();
    });

    afterEach(async () => {
      for (const each of opened.splice(0)) await each.close();
      await database.remove();
    });

    const note = (tx: Tx, text: string): Promise<void> => append(tx, [{ type: 'run.notice', data: { text } }], 0);
    const notes = async (of: Store = store): Promise<readonly unknown[]> =>
      (await readAfter(of, '0', 1_000)).map(({ data }) => data['text']);

    describe('a change', () => {
      test('is there for everybody once it is acknowledged', async () => {
        await store.write((tx) => writeSetting(tx, 'a', '1'));
        expect(await readSetting(store.read, 'a')).toBe('1');
        expect(await readSetting((await open()).read, 'a')).toBe('1');
      });

      test('that fails leaves nothing behind, and those beside it are not disturbed', async () => {
        const results = await Promise.allSettled(
          Array.from({ length: 60 }, (_, i) =>
            store.write(async (tx) => {
              await note(tx, `change ${i}`);
              if (i % 7 === 3) throw new Error(`change ${i} failed`);
              if (i % 7 === 5) await sql`select * from no_such_table`.execute(tx.db);
              return i;
            }),
          ),
        );
        const expected = Array.from({ length: 60 }, (_, i) => i).filter((i) => i % 7 !== 3 && i % 7 !== 5);
        expect(results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))).toEqual(expected);
        expect((await notes()).toSorted()).toEqual(expected.map((i) => `change ${i}`).toSorted());
      });

      test('is on disk when it is acknowledged', async () => {
        const settings = await store.write(async ({ db }) =>
          dialect === 'sqlite'
            ? [
                (await sql<{ synchronous: number }>`pragma synchronous`.execute(db)).rows[0]?.synchronous,
                (await sql<{ journal_mode: string }>`pragma journal_mode`.execute(db)).rows[0]?.journal_mode,
              ]
            : [(await sql<{ synchronous_commit: string }>`show synchronous_commit`.execute(db)).rows[0]?.synchronous_commit],
        );
        expect(settings).toEqual(dialect === 'sqlite' ? [2, 'wal'] : ['on']);
      });

      test('is told of after it is there, and one that failed is not', async () => {
        const heard: { readonly topic: Topic; readonly seen: string | undefined }[] = [];
        const told = Promise.withResolvers<void>();
        const stopHearing = store.onCommit(async (topic) => {
          const seen = await readSetting(store.read, 'a');
          heard.push({ topic, seen });
          if (topic === 'control' && seen === '1') told.resolve();
        });
        await store
          .write(async (tx) => {
            tx.touch('line');
            throw new Error('no');
          })
          .catch(() => undefined);
        await store.write(async (tx) => {
          await writeSetting(tx, 'a', '1');
          tx.touch('control');
        });
        await told.promise;
        stopHearing();
        // PostgreSQL's listener, once connected, counts everything as touched: it cannot know what it missed.
        if (dialect === 'sqlite') expect(heard).toEqual([{ topic: 'control', seen: '1' }]);
      });

      test('after the store was closed is refused, and those before it are finished', async () => {
        const own = await database.open();
        const accepted = Array.from({ length: 20 }, (_, i) => own.write((tx) => note(tx, `early ${i}`)));
        await own.close();
        await Promise.all(accepted);
        await expect(own.write((tx) => note(tx, 'late'))).rejects.toMatchObject({ status: 503 });
        expect(await notes()).toHaveLength(20);
      });
    });

    describe('the journal', () => {
      test('keeps the order of what was appended, also through positions and pages', async () => {
        for (let i = 0; i < 5; i++) {
          await store.write((tx) =>
            append(
              tx,
              Array.from({ length: 7 }, (_, j) => ({ type: 'run.notice', data: { text: `${i}.${j}` }, runId: `run ${j % 2}` })),
              i,
            ),
          );
        }
        const all = await readAfter(store, '0', 1_000);
        expect(all.map(({ data }) => data['text'])).toEqual(Array.from({ length: 35 }, (_, n) => `${Math.floor(n / 7)}.${n % 7}`));
        const ids = all.map(({ id }) => id);
        expect(ids.toSorted(comparePositions)).toEqual(ids);
        for (const id of ids) expect(parsePosition(id)).toBeDefined();
        expect(await latest(store)).toBe(ids.at(-1));
        const pages: string[] = [];
        for (let page = await readAfter(store, '0', 4); page.length > 0; page = await readAfter(store, pages.at(-1) ?? '', 4))
          pages.push(...page.map(({ id }) => id));
        expect(pages).toEqual(ids);
        const odd = await readAfter(store, ids[9] ?? '', 100, { runId: 'run 1' });
        expect(odd).toEqual(all.slice(10).filter(({ runId }) => runId === 'run 1'));
      });

      test('knows where a run ended', async () => {
        expect(await endOf(store, 'run_a')).toBeUndefined();
        await store.write((tx) =>
          append(
            tx,
            [
              {
                type: 'run.finished',
                runId: 'run_a',
                data: { status: 'succeeded', reason: null, durationMs: 1, attempt: 1, node: 'nod_a' },
              },
            ],
            0,
          ),
        );
        await store.write((tx) => note(tx, 'later'));
        expect(await endOf(store, 'run_a')).toBe((await readAfter(store, '0', 1))[0]?.id);
      });

      if (dialect === 'postgres') {
        test('shows nothing after a hole that a transaction still open may fill', async () => {
          const began = Promise.withResolvers<void>();
          const end = Promise.withResolvers<void>();
          const slow = store.write(async (tx) => {
            await note(tx, 'slow');
            began.resolve();
            await end.promise;
          });
          await began.promise;
          await store.write((tx) => note(tx, 'quick'));
          await (await open()).write((tx) => note(tx, 'quick elsewhere'));
          expect(await notes()).toEqual([]);
          end.resolve();
          await slow;
          expect(await until('all three', async () => (await notes()).length === 3 && notes())).toEqual([
            'slow',
            'quick',
            'quick elsewhere',
          ]);
        });

        test('does not wait for what is open in other databases of the cluster', async () => {
          const elsewhere = await createDatabase(dialect);
          const neighbour = await elsewhere.open();
          const began = Promise.withResolvers<void>();
          const end = Promise.withResolvers<void>();
          const slow = neighbour.write(async (tx) => {
            await note(tx, 'an import of hours');
            began.resolve();
            await end.promise;
          });
          try {
            await began.promise;
            await store.write((tx) => note(tx, 'here'));
            expect(await notes()).toEqual(['here']);
            expect(await latest(store)).not.toBe(beginning);
          } finally {
            end.resolve();
            await slow;
            await neighbour.close();
            await elsewhere.remove();
          }
        });

        test('goes on after a transaction that was given up', async () => {
          await store.write((tx) => note(tx, 'one'));
          await store
            .write(async (tx) => {
              await note(tx, 'never');
              throw new Error('given up');
            })
            .catch(() => undefined);
          await store.write((tx) => note(tx, 'two'));
          expect(await until('both', async () => (await notes()).length === 2 && notes())).toEqual(['one', 'two']);
        });

        test('goes on reading and writing what a newer server has added a column to', async () => {
          const other = await open();
          const alter = (statement: string): Promise<unknown> => other.write(({ db }) => sql.raw(statement).execute(db));
          await alter('create table growing (id int primary key)');
          await alter('insert into growing values (1)');
          const look = async (db: Store['read']): Promise<readonly unknown[]> =>
            (await sql`select * from growing where id = ${1}`.execute(db)).rows;
          expect(await look(store.read)).toEqual([{ id: 1 }]);
          expect(await store.write(({ db }) => look(db))).toEqual([{ id: 1 }]);
          await alter("alter table growing add column name text not null default 'one'");
          expect(await look(store.read)).toEqual([{ id: 1, name: 'one' }]);
          expect(await store.write(({ db }) => look(db))).toEqual([{ id: 1, name: 'one' }]);
          await alter('alter table growing add column size int not null default 2');
          expect(await store.write(({ db }) => look(db))).toEqual([{ id: 1, name: 'one', size: 2 }]);
        });

        test('has a prepared statement for a list of one, and not for each length of a list', async () => {
          await store.read.connection().execute(async (db) => {
            const each = async (lengths: readonly number[]): Promise<unknown> => {
              for (const length of lengths) {
                const places = Array.from({ length }, (_, at) => at);
                await sql`select 1 from schema_migrations where version in (${sql.join(places)})`.execute(db);
                const rows = sql.join(places.map((at) => sql`(cast(${at} as integer), cast(${'x'} as text))`));
                await sql`select * from (values ${rows}) as given`.execute(db);
              }
              const { rows } = await sql<{ readonly count: number }>`
                select count(*)::int as count from pg_prepared_statements where statement like '%version in ($%' or statement like '%as given'`.execute(
                db,
              );
              return rows[0]?.count;
            };
            expect(await each(Array.from({ length: 36 }, (_, at) => 40 - at))).toBe(0);
            expect(await each([1])).toBe(2);
          });
        });

        test('tells other nodes', async () => {
          const other = await open();
          const heard = new Set<Topic>();
          other.onCommit((topic) => heard.add(topic));
          await until('the news', async () => {
            await store.write((tx) => note(tx, 'hello'));
            return heard.has('journal');
          });
        });
      }
    });

    describe('the schema', () => {
      test('is made once, however many processes start at the same moment', async () => {
        const own = await createDatabase(dialect);
        const program = `
          const { openStore } = await import(${JSON.stringify(new URL('./open.ts', import.meta.url).href)});
          const store = await openStore(${JSON.stringify({ home: own.home, databaseUrl: own.databaseUrl })});
          await store.ping();
          await store.close();`;
        const ends = await Promise.all(
          Array.from({ length: 6 }, async () => {
            const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'ignore', 'pipe'] });
            let said = '';
            child.stderr.on('data', (data: Buffer) => {
              said += data.toString();
            });
            const [code] = await once(child, 'close');
            return `${code} ${said}`;
          }),
        );
        expect(ends).toEqual(Array.from({ length: 6 }, () => '0 '));
        await own.remove();
      });

      test('of a newer program is left alone', async () => {
        await store.write(({ db }) => sql`insert into schema_migrations (version, name) values (99, 'from the future')`.execute(db));
        const refusal = await database.open().catch((error: unknown) => error);
        expect(refusal).toBeInstanceOf(Unusable);
        expect(refusal).toMatchObject({ code: 'database-newer', message: expect.stringMatching(/version 99.*only \d+\. Run the newer/) });
      });
    });
  });
}
