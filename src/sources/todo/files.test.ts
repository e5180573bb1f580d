import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../../test/support/stores.ts';
import type { Task } from '../../domain/task.ts';
import { createInbox, type Inbox } from '../../inbox/inbox.ts';
import { createAnnouncer } from '../../outbox/announce.ts';
import { createOutbox, type Outbox } from '../../outbox/outbox.ts';
import { systemClock } from '../../platform/clock.ts';
import { createIds } from '../../platform/ids.ts';
import { silentLog } from '../../platform/log.ts';
import { createQueue } from '../../queue/durable-queue.ts';
import { meaningOf } from '../../queue/meaning.ts';
import { pgBossLine } from '../../queue/pg-boss.ts';
import type { Line, Queue } from '../../queue/queue.ts';
import { sqliteLine } from '../../queue/sqlite.ts';
import { insertOrigins, originsOf } from '../../store/inbox.ts';
import { enrol } from '../../store/nodes.ts';
import type { Store } from '../../store/store.ts';
import { dependenciesOfMany, findTask, listTasks } from '../../store/tasks.ts';
import { itemsAtOnce } from './batches.ts';
import type { TodoFiles } from './files.ts';
import { todoChannel, todoReporter } from './report.ts';
import { scanFile, type TodoWish } from './scan.ts';
import { todoFiles } from './source.ts';
import { watchTodos } from './watch.ts';

const node = 'nod_here';

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`TODO files on ${dialect}`, () => {
    let database: TestDatabase;
    let directory: string;
    let file: string;
    let store: Store;
    let queue: Queue;
    let inbox: Inbox;
    let outbox: Outbox;
    const undo: (() => unknown)[] = [];
    const newId = createIds(systemClock);
    const parts = () => ({ store, queue, clock: systemClock, newId, log: silentLog });

    beforeEach(async () => {
      database = await createDatabase(dialect);
      directory = mkdtempSync(join(tmpdir(), 'nightshift-todos-'));
      file = join(directory, 'TODO.md');
      const files: readonly TodoFiles[] = [{ path: join(directory, '*.md'), repository: '/srv/app', notes: true }];
      store = await database.open();
      const line: Line = store.dialect === 'sqlite' ? sqliteLine : await pgBossLine(store, () => undefined);
      const base = { store, clock: systemClock, newId, chance: () => 0.5, log: silentLog, node };
      outbox = createOutbox({ ...base, channels: [todoChannel(store)] });
      const announcer = createAnnouncer(outbox, [todoReporter(files)]);
      queue = createQueue({ ...base, line, defaultEngine: 'command', changed: announcer.changed });
      inbox = createInbox({ ...base, queue, sources: [todoFiles({ store, entries: files })], taken: announcer.taken });
      await store.write((tx) => enrol(tx, { id: node, address: null }, systemClock.now()));
      await inbox.start();
      await outbox.start();
      undo.push(
        () => rmSync(directory, { recursive: true, force: true }),
        () => database.remove(),
        () => store.close(),
        () => line.stop(),
        () => outbox.stop(),
        () => inbox.stop(),
      );
    });
    afterEach(async () => {
      for (const step of undo.splice(0).toReversed()) await step();
    });

    const tasks = async (): Promise<readonly Task[]> => (await listTasks(store.read, {}, { before: null, limit: 200 })).items.toReversed();
    const standing = async (): Promise<readonly string[]> => (await tasks()).map(({ title, status }) => `${title}: ${status}`).sort();
    const becomes = (...expected: readonly string[]): Promise<void> =>
      expect.poll(standing, { timeout: 20_000 }).toEqual([...expected].sort());
    const taskCalled = (title: string): Promise<Task> =>
      until(title, async () => (await tasks()).findLast((task) => task.title === title && task.status !== 'cancelled'));
    const write = async (...lines: readonly string[]): Promise<void> => {
      writeFileSync(file, lines.join('\n'));
      await scanFile(parts(), file);
    };
    /** Claims what is next in line and settles it. */
    const work = async (outcome: 'succeeded' | 'failed' = 'succeeded'): Promise<string> => {
      const [claim] = await until('something to claim', async () => {
        const claims = await queue.claim(node, 1);
        return claims.length > 0 && claims;
      });
      if (!claim) throw new Error('nothing was claimed');
      await queue.settle({
        taskId: claim.task.id,
        runId: claim.run.id,
        outcome:
          outcome === 'succeeded'
            ? { kind: 'succeeded' }
            : { kind: 'failed', reason: { code: 'x', message: 'the tests\nare red' }, retryable: false },
      });
      return claim.task.title;
    };

    test('give each open item a task, once, with what the file says of it', async () => {
      await write(
        '# High priority',
        '- [ ] Mend the login',
        '  It is slow.',
        '- [x] Done before',
        '# Other',
        '- [ ] Paint it (repo: https://example.org/b.git)',
      );
      await scanFile(parts(), file);
      await becomes('Mend the login: queued', 'Paint it: queued');
      expect(await taskCalled('Mend the login')).toMatchObject({
        priority: 'high',
        source: 'todo',
        repository: '/srv/app',
        trust: 'owner',
      });
      expect(await taskCalled('Paint it')).toMatchObject({ priority: 'low', repository: 'https://example.org/b.git' });
      const { id } = await taskCalled('Mend the login');
      expect((await findTask(store.read, id))?.body).toBe('It is slow.\n\nFrom TODO.md › High priority.');
    });

    test('are ticked when the work is done, in that box alone, while somebody edits around it', async () => {
      await write('- [ ] one', '- [ ] two');
      await becomes('one: queued', 'two: queued');
      writeFileSync(file, ['# A new heading', 'Words.', '- [ ] two', '', '- [ ] one', '', 'the end'].join('\r\n'));
      const first = await work();
      await expect.poll(() => readFileSync(file, 'utf8')).toContain('[x]');
      expect(readFileSync(file, 'utf8')).toBe(
        ['# A new heading', 'Words.', '- [ ] two', '', '- [ ] one', '', 'the end'].join('\r\n').replace(`[ ] ${first}`, `[x] ${first}`),
      );
      await scanFile(parts(), file);
      await becomes(`${first}: succeeded`, `${first === 'one' ? 'two' : 'one'}: queued`);
    });

    test('call off what is ticked, removed or reworded before it began, and leave alone what runs', async () => {
      await write('- [ ] runs', '- [ ] ticked', '- [ ] removed', '- [ ] reworded one way');
      await becomes('runs: queued', 'ticked: queued', 'removed: queued', 'reworded one way: queued');
      await queue.setPriority((await taskCalled('runs')).id, 'high');
      await until('it to run', async () => (await queue.claim(node, 1))[0]);
      await write('- [ ] runs faster', '- [x] ticked', '- [ ] reworded another way');
      await becomes(
        'runs: running',
        'ticked: cancelled',
        'removed: cancelled',
        'reworded one way: cancelled',
        'reworded another way: queued',
      );
    });

    test('say nothing about their items while they are gone, a directory, or in the middle of a merge', async () => {
      await write('- [ ] one');
      await becomes('one: queued');
      rmSync(file);
      await scanFile(parts(), file);
      mkdirSync(file);
      await scanFile(parts(), file);
      rmSync(file, { recursive: true });
      await write('<<<<<<< HEAD', '- [ ] ours', '=======', '- [ ] theirs', '>>>>>>> branch');
      await becomes('one: queued');
      await write('- [ ] one');
      await becomes('one: queued');
    });

    test('put what is nested first, and keep that order when a part is reworded', async () => {
      await write('- [ ] whole', '  - [ ] part a', '  - [x] part b', '- [ ] last after: whole');
      await becomes('whole: blocked', 'part a: queued', 'last: blocked');
      await write('- [ ] whole', '  - [ ] part a, better', '  - [x] part b', '- [ ] last after: whole');
      await becomes(
        'part a: cancelled',
        'whole: cancelled',
        'last: cancelled',
        'part a, better: queued',
        'whole: blocked',
        'last: blocked',
      );
      const whole = await taskCalled('whole');
      const part = await taskCalled('part a, better');
      expect((await dependenciesOfMany(store.read, [whole.id])).get(whole.id)).toEqual([part.id]);
      expect([await work(), await work(), await work()]).toEqual(['part a, better', 'whole', 'last']);
      await expect.poll(() => readFileSync(file, 'utf8')).not.toContain('[ ]');
    });

    test('that wait for each other in a circle still get done', async () => {
      await write('- [ ] hen after: egg', '- [ ] egg after: hen');
      await becomes('hen: queued', 'egg: blocked');
    });

    test('are worked on again when a person takes a tick away', async () => {
      await write('- [ ] one');
      await becomes('one: queued');
      await work();
      await expect.poll(() => readFileSync(file, 'utf8')).toBe('- [x] one');
      await scanFile(parts(), file);
      await write('- [ ] one');
      await becomes('one: succeeded', 'one: queued');
    });

    test('stay done when an editor saves the text from before the tick, and what was written in it meanwhile is taken in', async () => {
      await write('- [ ] one', '- [ ] two');
      await becomes('one: queued', 'two: queued');
      const title = await work();
      const other = title === 'one' ? 'two' : 'one';
      const ticked = ['- [ ] one', '- [ ] two'].map((line) => (line.endsWith(title) ? line.replace(' ]', 'x]') : line));
      await expect.poll(() => readFileSync(file, 'utf8')).toBe(ticked.join('\n'));
      await scanFile(parts(), file);
      for (const added of ['- [ ] three', '- [ ] three\n- [ ] four']) {
        await write('- [ ] one', '- [ ] two', added);
        await expect.poll(() => readFileSync(file, 'utf8')).toBe([...ticked, added].join('\n'));
      }
      await becomes(`${title}: succeeded`, `${other}: queued`, 'three: queued', 'four: queued');
    });

    test('are ticked again when the tick was written over before anybody saw it', async () => {
      await write('- [ ] one');
      await becomes('one: queued');
      await work();
      await expect.poll(() => readFileSync(file, 'utf8')).toBe('- [x] one');
      await until('it to be marked', async () => (await store.read.selectFrom('outbox').select('state').execute())[0]?.state === 'sent');
      await write('- [ ] one', 'Words.');
      await expect.poll(() => readFileSync(file, 'utf8')).toBe('- [x] one\nWords.');
      await becomes('one: succeeded');
    });

    test('keep their tasks while the file is empty, and when it loses most of them until it has said so twice', async () => {
      const items = Array.from({ length: 8 }, (_, n) => `- [ ] number ${n}`);
      await write(...items);
      await becomes(...items.map((_, n) => `number ${n}: queued`));
      writeFileSync(file, '\n');
      expect(await scanFile(parts(), file)).toEqual({ kind: 'taken' });
      writeFileSync(file, items.slice(0, 3).join('\n'));
      const scanned = await scanFile(parts(), file);
      if (scanned.kind !== 'doubted') throw new Error('it was believed');
      await becomes(...items.map((_, n) => `number ${n}: queued`));
      writeFileSync(file, [...items.slice(0, 3), '# The end'].join('\n'));
      const again = await scanFile(parts(), file, scanned.hash);
      if (again.kind !== 'doubted') throw new Error('something else was believed');
      expect(await scanFile(parts(), file, again.hash)).toEqual({ kind: 'taken' });
      await becomes(...items.map((_, n) => `number ${n}: ${n < 3 ? 'queued' : 'cancelled'}`));
    });

    test('are called off together with the note of it: a death in between leaves both to be done', async () => {
      await write('- [ ] one', '- [ ] two');
      await becomes('one: queued', 'two: queued');
      const dying = {
        cancelIn: async (...args: Parameters<Queue['cancelIn']>) => {
          await queue.cancelIn(...args);
          throw new Error('killed');
        },
      };
      writeFileSync(file, '- [ ] two');
      await expect(scanFile({ ...parts(), queue: dying }, file)).rejects.toThrow('killed');
      await becomes('one: queued', 'two: queued');
      await scanFile(parts(), file);
      await becomes('one: cancelled', 'two: queued');
    });

    test('get a note where it is wanted when the work failed, and it is not taken for an edit', async () => {
      await write('1. [ ] one', '2. [ ] two');
      await becomes('one: queued', 'two: queued');
      const failed = await work('failed');
      await expect.poll(() => readFileSync(file, 'utf8')).toContain('> Nightshift:');
      expect(readFileSync(file, 'utf8').split('\n')[failed === 'one' ? 1 : 2]).toBe('   > Nightshift: failed: the tests are red');
      await scanFile(parts(), file);
      await becomes(`${failed}: failed`, `${failed === 'one' ? 'two' : 'one'}: queued`);
    });

    test('get a note without losing a byte that is not text, a line break, or who may write to them', async () => {
      const before = Buffer.concat([Buffer.from('- [ ] one\r\n'), Buffer.from([0xff, 0xfe, 0x0a]), Buffer.from('the end\r')]);
      writeFileSync(file, before);
      chmodSync(file, 0o666);
      const somebody = process.getuid?.() === 0 ? 4_711 : statSync(file).uid;
      chownSync(file, somebody, statSync(file).gid);
      await scanFile(parts(), file);
      await becomes('one: queued');
      await work('failed');
      await expect.poll(() => readFileSync(file, 'latin1')).toContain('> Nightshift:');
      const note = Buffer.from('\r\n  > Nightshift: failed: the tests are red');
      expect(readFileSync(file).equals(Buffer.concat([before.subarray(0, 9), note, before.subarray(9)]))).toBe(true);
      expect([statSync(file).mode & 0o777, statSync(file).uid]).toEqual([0o666, somebody]);
      expect(readdirSync(directory)).toEqual(['TODO.md']);
    });

    test('that hold the same words twice make two tasks; the same wish in another file is the same task, and both are ticked', async () => {
      const other = join(directory, 'OTHER.md');
      await write('# A', '- [ ] Add tests', '# B', '- [ ] Add tests', '- [ ] Mend <', '- [ ] Mend >', '- [ ] Write the docs');
      await becomes('Add tests: queued', 'Add tests: queued', 'Mend <: queued', 'Mend >: queued', 'Write the docs: queued');
      writeFileSync(other, '* [ ] write the docs!');
      await scanFile(parts(), other);
      const { id } = await taskCalled('Write the docs');
      await until('it to be taken up', async () => (await originsOf(store.read, [id])).length === 2);
      for (const _ of [1, 2, 3, 4, 5]) await work();
      await expect.poll(() => readFileSync(other, 'utf8')).toBe('* [x] write the docs!');
      await expect.poll(() => readFileSync(file, 'utf8')).not.toContain('[ ]');
    });

    test('do not call off what somebody else wants too, until nobody does', async () => {
      const other = join(directory, 'OTHER.md');
      await write('- [ ] Write the docs', '- [ ] Mend the login', '- [ ] one');
      writeFileSync(other, '- [ ] Write the docs');
      await scanFile(parts(), other);
      await becomes('Write the docs: queued', 'Mend the login: queued', 'one: queued');
      const docs = await taskCalled('Write the docs');
      await until('both to be taken up', async () => (await originsOf(store.read, [docs.id])).length === 2);
      const login = await taskCalled('Mend the login');
      await store.write((tx) => insertOrigins(tx, [{ taskId: login.id, source: 'github', trigger: 'o/r/issue/1', address: {} }]));
      await write('- [x] Mend the login');
      await becomes('Write the docs: queued', 'Mend the login: queued', 'one: cancelled');
      writeFileSync(other, 'Nothing.');
      await scanFile(parts(), other);
      await becomes('Write the docs: cancelled', 'Mend the login: queued', 'one: cancelled');
    });

    test('are taken in again only when they say something else', async () => {
      let writes = 0;
      const counting: Store = Object.assign(Object.create(store) as Store, {
        write: (change: Parameters<Store['write']>[0]) => {
          writes += 1;
          return store.write(change);
        },
      });
      const scan = async (text: string): Promise<number> => {
        writes = 0;
        writeFileSync(file, text);
        await scanFile({ ...parts(), store: counting }, file);
        return writes;
      };
      expect(await scan('- [ ] one')).toBe(1);
      expect(await scan('- [ ] one')).toBe(0);
      expect(await scan('- [ ] one\n- [ ] two')).toBe(1);
      await becomes('one: queued', 'two: queued');
    });

    describe('with very many new items', () => {
      const many = 2 * itemsAtOnce + 20;
      /** Every tenth stands above the next one, and has the same words as the one under another. */
      const lines = Array.from({ length: many }, (_, n) => {
        const parent = n % 10 === 0;
        const title = n % 100 === 0 || n % 100 === 11 ? 'Add tests' : `number ${n}`;
        return `${parent || n % 10 > 1 ? '' : '  '}- [ ] ${title}\n${parent || n % 10 > 1 ? '' : '  '}  line ${n}`;
      });
      const writing = (before: (nth: number) => void): Store => {
        let nth = 0;
        return Object.assign(Object.create(store) as Store, {
          write: (change: Parameters<Store['write']>[0]) => {
            before(++nth);
            return store.write(change);
          },
        });
      };
      const dyingAt = (death: number): Store =>
        writing((nth) => {
          if (nth === death) throw new Error('killed');
        });
      const rows = async () =>
        (await store.read.selectFrom('todo_items').selectAll().execute())
          .toSorted((a, b) => a.place - b.place)
          .map(({ place, ...row }) => row);
      const deliveries = async () =>
        (
          await store.read
            .selectFrom('inbox')
            .innerJoin('delivery_bodies', 'delivery', 'id')
            .select(['key', 'delivery_bodies.body'])
            .orderBy('id')
            .execute()
        ).map(({ key, body }) => ({
          key,
          wish: JSON.parse(Buffer.from(body as Uint8Array).toString('utf8')) as TodoWish,
        }));

      test('are taken in step by step: killed between two, it goes on from there, with nothing twice and nothing lost', async () => {
        await inbox.stop();
        writeFileSync(file, lines.join('\n'));
        await expect(scanFile({ ...parts(), store: dyingAt(2) }, file)).rejects.toThrow('killed');
        const begun = await rows();
        expect(begun.length).toBeGreaterThanOrEqual(itemsAtOnce);
        expect(begun.length).toBeLessThan(many);
        await expect(scanFile({ ...parts(), store: dyingAt(3) }, file)).rejects.toThrow('killed');
        await scanFile(parts(), file);
        await scanFile(parts(), file);

        const taken = await rows();
        expect(taken).toHaveLength(many);
        expect(taken.filter(({ revision }) => revision !== 1)).toEqual([]);
        const byKey = new Map(taken.map((row) => [row.key, row]));
        for (const row of begun) expect(byKey.get(row.key)).toEqual(row);
        const wishes = await deliveries();
        expect(new Set(wishes.map(({ wish }) => wish.body)).size).toBe(many);
        expect(wishes).toHaveLength(many);
        // Whatever one waits for was delivered before it, and is what stands under it.
        const seen = new Map<string, TodoWish>();
        for (const { wish } of wishes) {
          for (const key of wish.after) expect(seen.has(key)).toBe(true);
          seen.set(wish.key, wish);
        }
        const lineOf = ({ body }: Pick<TodoWish, 'body'>): number => Number(/\d+/.exec(body)?.[0]);
        const parents = wishes.filter(({ wish }) => lineOf(wish) % 10 === 0);
        expect(parents).toHaveLength(many / 10);
        for (const { wish } of parents) {
          expect(wish.after.map((key) => lineOf(seen.get(key) as TodoWish))).toEqual([lineOf(wish) + 1]);
        }
      });

      test('let others pass in between', async () => {
        const ended: string[] = [];
        let asked: Promise<unknown> | undefined;
        writeFileSync(file, lines.join('\n'));
        const watched = writing((nth) => {
          if (nth !== 2) return;
          const wish = { title: 'another', source: 'api', requestedBy: 'owner', trust: 'owner', priority: 'low' } as const;
          asked = queue.submit(wish).then(() => ended.push('answered'));
        });
        await scanFile({ ...parts(), store: watched }, file).then(() => ended.push('taken in'));
        await asked;
        expect(ended).toEqual(['answered', 'taken in']);
      });

      test('are taken in by one node at a time: another that begins goes on with the rest, and the first leaves it alone', async () => {
        await inbox.stop();
        writeFileSync(file, lines.join('\n'));
        let other: Promise<unknown> | undefined;
        const overtaken = writing((nth) => {
          if (nth === 2) other = scanFile(parts(), file);
        });
        await scanFile({ ...parts(), store: overtaken }, file);
        await other;
        await scanFile(parts(), file);
        expect(await rows()).toHaveLength(many);
        expect(await deliveries()).toHaveLength(many);
      });

      test('change nothing about an edit: what is known and what it now waits for are decided together', async () => {
        await inbox.stop();
        await write('- [ ] the last (after: number 1)', '- [ ] other');
        writeFileSync(
          file,
          ['- [ ] the last (after: number 1)', ...Array.from({ length: many }, (_, n) => `- [ ] number ${many - n - 1}`)].join('\n'),
        );
        await expect(scanFile({ ...parts(), store: dyingAt(2) }, file)).rejects.toThrow('killed');
        const wish = (await deliveries()).map((each) => each.wish).findLast(({ title }) => title === 'the last') as TodoWish;
        expect(wish.revision).toBe(2);
        const wanted = await rows();
        expect(wish.after.every((key) => wanted.some((row) => row.key === key))).toBe(true);
        expect(wish.after.length).toBeGreaterThan(0);
        await scanFile(parts(), file);
        expect((await rows()).filter(({ title }) => title.startsWith('number'))).toHaveLength(many);
      });
    });

    test('do not call off work that was asked for elsewhere before', async () => {
      const about = { title: 'Write the docs', repository: '/srv/app' };
      const wish = { ...about, source: 'api', requestedBy: 'owner', trust: 'owner', priority: 'low', dedupeKey: meaningOf(about) } as const;
      await queue.submit(wish);
      await write('- [ ] Write the docs', '- [ ] one');
      await becomes('Write the docs: queued', 'one: queued');
      await until('it to be taken up', async () => (await originsOf(store.read, [(await taskCalled('Write the docs')).id])).length === 1);
      await write('Nothing.');
      await becomes('Write the docs: queued', 'one: cancelled');
    });

    test('are watched: what is written, replaced in one step, or comes to be is taken in by itself', async () => {
      const pattern = join(directory, 'lists', '**', '*.md');
      mkdirSync(join(directory, 'lists', 'deep', 'node_modules'), { recursive: true });
      writeFileSync(file, '- [ ] there before');
      const watching = watchTodos(parts(), [{ path: file }, { path: pattern }]);
      try {
        await watching.ready;
        await becomes('there before: queued');
        writeFileSync(`${file}.tmp`, '- [ ] there before\n- [ ] saved in one step');
        renameSync(`${file}.tmp`, file);
        writeFileSync(join(directory, 'lists', 'deep', 'new.md'), '- [ ] in a new file');
        writeFileSync(join(directory, 'lists', 'deep', 'node_modules', 'x.md'), '- [ ] of somebody else');
        await becomes('there before: queued', 'saved in one step: queued', 'in a new file: queued');
      } finally {
        await watching.stop();
      }
    });
  });
}
