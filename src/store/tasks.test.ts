import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { explained } from '../../test/support/asked.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import { firstState, type Priority, type Task } from '../domain/task.ts';
import { append } from './journal.ts';
import { neverApproved } from './migrations/026-never-approved.ts';
import type { Store } from './store.ts';
import { dueTasks, insertTasks, listTasks, longestWait, type TaskFilter } from './tasks.ts';

const many = 25_000;
const start = Date.UTC(2026, 0, 1);

test.each([
  ['what is due', (db: Store['read']) => dueTasks(db, start, 100)],
  ['who has waited longest', (db: Store['read']) => longestWait(db, 'low')],
])('%s is found without reading all that waits', async (_, ask) => {
  for (const dialect of dialects.filter((each) => missing(each) === undefined)) {
    const database = await createDatabase(dialect);
    const store = await database.open();
    try {
      const waiting = Array.from({ length: 5_000 }, (_, i) => ({
        ...taskNumber(i),
        priority: 'high' as const,
        ...(i % 2 === 0 ? { status: 'delayed' as const, notBefore: start * 2 } : { status: 'queued' as const }),
      }));
      await store.write((tx) => insertTasks(tx, waiting));
      if (dialect === 'sqlite') {
        const plan = await explained<{ detail: string }>(store, 'explain query plan', ask);
        expect(plan.map(({ detail }) => detail)).toEqual([
          expect.stringMatching(/USING .*INDEX tasks_(?:due|line) \(status=\? AND \w+[<>]\?\)/),
        ]);
      } else {
        await sql`vacuum analyze tasks`.execute(store.read);
        const [row] = await explained<{ 'QUERY PLAN': readonly { readonly Plan: PagesRead }[] }>(
          store,
          'explain (analyze, buffers, format json)',
          ask,
        );
        const read = row?.['QUERY PLAN'][0]?.Plan;
        expect((read?.['Shared Hit Blocks'] ?? 0) + (read?.['Shared Read Blocks'] ?? 0)).toBeLessThan(5);
      }
    } finally {
      await store.close();
      await database.remove();
    }
  }
});

interface PagesRead {
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
}

test.each(dialects.filter((each) => missing(each) === undefined))(
  'on %s, what nobody had approved before the update is not taken for approved',
  async (dialect) => {
    const database = await createDatabase(dialect);
    const store = await database.open();
    const submitted = {
      type: 'task.submitted',
      data: { title: 't', source: 'api', priority: 'low', status: 'awaiting-approval' },
    } as const;
    try {
      const stories = [
        ['waits', 'awaiting-approval', [submitted]],
        ['denied', 'cancelled', [submitted]],
        ['approved', 'cancelled', [submitted, { type: 'task.approved', data: { by: 'ann', profile: 'default' } }]],
        ['never asked about', 'cancelled', [{ ...submitted, data: { ...submitted.data, status: 'queued' } }]],
      ] as const;
      await store.write(async (tx) => {
        const tasks = stories.map(
          ([title, status], i): Task => ({ ...taskNumber(i), title, status, closedAt: status === 'cancelled' ? start : null }),
        );
        await insertTasks(tx, tasks);
        for (const [i, [, , events]] of stories.entries())
          await append(
            tx,
            events.map((event) => ({ ...event, taskId: (tasks[i] as Task).id })),
            start,
          );
        await sql`alter table tasks drop column needs_approval`.execute(tx.db);
      });
      await store.write(async (tx) => {
        for (const statement of neverApproved.statements(dialect)) await sql.raw(statement).execute(tx.db);
      });
      const { items } = await listTasks(store.read, {}, { before: null, limit: 10 });
      expect(
        items
          .filter(({ needsApproval }) => needsApproval)
          .map(({ title }) => title)
          .sort(),
      ).toEqual(['denied', 'waits']);
    } finally {
      await store.close();
      await database.remove();
    }
  },
);

/** Long lists, in which a rare match lies far down. */
for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`listing many tasks on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let all: readonly Task[];

    beforeAll(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      all = Array.from({ length: many }, (_, i) => taskNumber(i));
      await store.write((tx) => insertTasks(tx, all));
    });

    afterAll(async () => {
      await store?.close();
      await database?.remove();
    });

    /** Follows the pages to the end, as a client does. */
    async function walk(filter: TaskFilter, limit: number): Promise<{ readonly ids: readonly string[]; readonly pages: number }> {
      const ids: string[] = [];
      let pages = 0;
      let before: string | null = null;
      do {
        const page = await listTasks(store.read, filter, { before, limit });
        expect(page.items.length).toBeLessThanOrEqual(limit);
        ids.push(...page.items.map(({ id }) => id));
        before = page.next;
        pages += 1;
      } while (before !== null);
      return { ids, pages };
    }

    const matching = (matches: (task: Task, i: number) => boolean): readonly string[] =>
      all
        .filter(matches)
        .map(({ id }) => id)
        .reverse();

    test('finds every match of every combination of filters, newest first', async () => {
      const filters: readonly TaskFilter[] = [
        { status: ['delayed'] },
        { status: ['delayed', 'blocked'] },
        { priority: 'high' },
        { source: 'github' },
        { repository: 'rare' },
        { repository: 'common', priority: 'high' },
        { status: ['queued'], source: 'github' },
        { status: ['queued', 'delayed'], priority: 'low', source: 'github', repository: 'common' },
        { status: ['succeeded'] },
        { status: ['succeeded'], source: 'nobody' },
      ];
      for (const filter of filters) {
        const expected = matching(
          (task) =>
            (filter.status?.includes(task.status) ?? true) &&
            task.priority === (filter.priority ?? task.priority) &&
            task.source === (filter.source ?? task.source) &&
            task.repository === (filter.repository ?? task.repository),
        );
        expect((await walk(filter, 200)).ids, JSON.stringify(filter)).toEqual(expected);
      }
    });

    test('looks at a bounded number of tasks at a time: a rare match comes on a later page, after empty ones', async () => {
      const first = await listTasks(store.read, { source: 'github', priority: 'low' }, { before: null, limit: 10 });
      expect(first).toEqual({ items: [], next: expect.any(String) });
      const { ids, pages } = await walk({ source: 'github', priority: 'low' }, 10);
      expect(ids).toEqual(matching(({ source, priority }) => source === 'github' && priority === 'low'));
      expect(ids.length).toBeGreaterThan(0);
      expect(pages).toBe(3);
    });

    test('gives full pages where matches are plenty', async () => {
      const page = await listTasks(store.read, { priority: 'high' }, { before: null, limit: 50 });
      expect(page.items).toHaveLength(50);
      expect(page.next).toBe(page.items.at(-1)?.id);
    });
  });
}

function taskNumber(i: number): Task {
  const priority: Priority = i % 100 === 0 ? 'high' : i < 5 ? 'low' : 'medium';
  return {
    ...firstState({
      waitingFor: i % 5_000 === 7 ? 1 : 0,
      notBefore: i % 5_000 === 9 ? start * 2 : null,
      needsApproval: false,
      maxAttempts: 3,
      now: start,
    }),
    id: `tsk_${String(i).padStart(26, '0')}`,
    source: i % 1_000 === 3 ? 'github' : 'api',
    externalRef: null,
    doneWhen: null,
    maxRounds: null,
    parentTaskId: null,
    title: `task ${i}`,
    body: null,
    repository: i === 11 ? 'rare' : i % 2 === 0 ? 'common' : null,
    ref: null,
    priority,
    dedupeKey: null,
    budgetUsd: null,
    verify: null,
    engine: null,
    profile: 'default',
    tier: null,
    labels: [],
    deliverable: 'changes',
    branch: null,
    requestedBy: 'owner',
    trust: 'owner',
    createdAt: start + i,
    updatedAt: start + i,
  };
}
