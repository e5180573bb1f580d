import { idPrefixes } from '../../src/domain/id.ts';
import type { LedgerEntry } from '../../src/domain/spending.ts';
import type { Task, TaskStatus } from '../../src/domain/task.ts';
import { createIds } from '../../src/platform/ids.ts';
import { book } from '../../src/store/ledger.ts';
import { insertRound } from '../../src/store/rounds.ts';
import { insertRuns } from '../../src/store/runs.ts';
import type { Store } from '../../src/store/store.ts';
import { insertTasks } from '../../src/store/tasks.ts';
import { countEnds } from '../../src/store/trends.ts';
import { ManualClock } from './clock.ts';

const dayMs = 86_400_000;

const wishes = [
  'Fix the flaky checkout test',
  'Upgrade the HTTP client to version 5',
  'Add a retry to the nightly import',
  'Remove the unused feature flag “new-cart”',
  'The invoice total is wrong when a discount is over 100 %',
  'Explain every public function of the billing package, with an example of how it is called and what it may throw',
  'Replace moment with Temporal',
  'Speed up the search page',
  'Document the release process',
  'Handle a missing avatar',
];
const sources = ['github', 'api', 'todo', 'schedule', 'memory'];
const repositories = ['https://github.com/acme/shop', 'https://github.com/acme/billing', 'https://git.example.org/platform/importer'];

/** A server that has been at work for weeks: tasks that ended and some that need a person, their runs, gates and costs. Always the same. */
export async function fillPast(store: Store, now: number, weeks = 14): Promise<void> {
  const clock = new ManualClock(now - weeks * 7 * dayMs);
  const newId = createIds(clock);
  const chance = sequence(7);
  const one = <T>(of: readonly T[]): T => of[Math.floor(chance() * of.length)] as T;

  for (let day = 0; day < weeks * 7; day++) {
    const weekend = new Date(clock.now()).getUTCDay() % 6 === 0;
    const many = Math.round((weekend ? 3 : 9) * (0.4 + chance() + day / (weeks * 14)));
    for (let each = 0; each < many; each++) {
      clock.advance(Math.floor(dayMs / (many + 1)));
      const late = day / (weeks * 7);
      const luck = chance();
      const status: TaskStatus = luck < 0.72 + 0.18 * late ? 'succeeded' : luck < 0.95 ? 'failed' : 'cancelled';
      const helped = chance() > 0.6 + 0.3 * late;
      await end(status, helped, late);
    }
    clock.advance(now - (weeks * 7 - day - 1) * dayMs - clock.now());
  }
  await wait();

  async function end(status: TaskStatus, helped: boolean, late: number): Promise<void> {
    const at = clock.now();
    const repository = one(repositories);
    const task: Task = {
      ...open,
      id: newId(idPrefixes.task),
      title: one(wishes),
      source: one(sources),
      repository,
      createdAt: at,
      updatedAt: at,
    };
    const closed: Task = { ...task, status, helped, closedAt: at, reason: status === 'failed' ? failure : null };
    const runId = newId(idPrefixes.run);
    await store.write(async (tx) => {
      await insertTasks(tx, [closed]);
      await countEnds(tx, [{ before: task, after: closed }]);
      await insertRuns(tx, [
        {
          id: runId,
          taskId: task.id,
          nodeId: 'nod_past',
          engine: 'claude',
          attempt: 1,
          status: status === 'succeeded' ? 'succeeded' : status === 'failed' ? 'failed' : 'cancelled',
          reason: closed.reason,
          summary: null,
          startedAt: at - 600_000,
          finishedAt: at,
        },
      ]);
      await insertRound(tx, runId, null, repository, {
        number: 1,
        tree: null,
        verdicts: verdictsOf(
          status === 'succeeded',
          chance() * 6 * (1.2 - late),
          chance() < 0.25 * (1.3 - late),
          0.6 + 0.3 * late * chance(),
        ),
        decision: status === 'succeeded' ? 'finish' : 'stop',
        rule: status === 'succeeded' ? null : 'round-limit',
        at,
      });
      await book(
        tx,
        Array.from({ length: 4 }, (_, index) => ({
          reservation: undefined,
          entry: callOf(task.id, runId, at - 600_000 + index * 120_000),
        })),
      );
    });
  }

  function callOf(taskId: string, runId: string, at: number): LedgerEntry {
    return {
      id: newId(idPrefixes.call),
      at,
      nodeId: 'nod_past',
      runId,
      taskId,
      conversationId: null,
      kind: 'task',
      provider: 'claude',
      model: one(['claude-sonnet-4-5', 'claude-sonnet-4-5', 'claude-opus-5', 'claude-haiku-4-5']),
      keyId: null,
      inputTokens: Math.floor(chance() * 4_000),
      outputTokens: Math.floor(chance() * 1_500),
      cacheReadTokens: Math.floor(chance() * 30_000),
      cacheWriteTokens: Math.floor(chance() * 4_000),
      costMicroUsd: Math.floor(20_000 + chance() * 120_000),
      firstByteMs: 700,
      latencyMs: 4_000,
      status: 200,
      end: 'complete',
      estimated: false,
    };
  }

  /** What waits for a person. */
  async function wait(): Promise<void> {
    const needy: readonly Partial<Task>[] = [
      {
        status: 'awaiting-approval',
        title: 'Rewrite the session store',
        source: 'github',
        trust: 'untrusted',
        requestedBy: 'octocat',
        body: plan,
      },
      {
        status: 'escalated',
        title: 'Make the export resumable',
        reason: stuck,
        attempts: 3,
        body: 'An export of a million rows dies after an hour.',
      },
      { status: 'over-budget', title: 'Port the importer to streams', reason: dear, budgetUsd: 4 },
    ];
    for (const more of needy) {
      clock.advance(1);
      const at = clock.now();
      const id = newId(idPrefixes.task);
      const reason = more.reason ?? null;
      const task = { ...open, title: '', source: 'api', ...more, id, repository: one(repositories), createdAt: at, updatedAt: at };
      await store.write(async (tx) => {
        await insertTasks(tx, [task]);
        if (reason === null) return;
        const run = { id: newId(idPrefixes.run), taskId: id, nodeId: 'nod_past', engine: 'claude', attempt: 1, summary: null };
        await insertRuns(tx, [{ ...run, status: 'escalated', reason, startedAt: at - 600_000, finishedAt: at }]);
      });
    }
  }
}

/** Numbers that look like chance, and are the same each time. */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const plan =
  'Sessions are kept in memory today. Move them to the database:\n\n1. a table with an index on the expiry\n2. a sweep each hour\n3. no change for who is logged in';
const failure = { code: 'round-limit', message: 'It was given up after 5 rounds, which is the limit. Still red: tests.' };
const stuck = { code: 'no-progress', message: 'It was given up after 4 rounds: three in a row led nowhere new. Still red: tests, types.' };
const dear = { code: 'over-budget', message: 'The task has spent $4.00, which is its budget.' };

const verdict = {
  passed: true,
  excuse: null,
  summary: '',
  findings: [],
  command: null,
  exitCode: null,
  counts: null,
  output: null,
  signature: null,
  durationMs: 900,
  cached: false,
} as const;
const finding = { path: 'src/cart.ts', line: 3, text: 'is too complex' };

const verdictsOf = (passed: boolean, findings: number, redBefore: boolean, coverage: number) => [
  { ...verdict, gate: 'tests', kind: 'tests' as const, passed },
  { ...verdict, gate: 'lint', kind: 'lint' as const, excuse: redBefore ? ('red-before' as const) : null },
  {
    ...verdict,
    gate: 'complexity',
    kind: 'complexity' as const,
    findings: Array.from({ length: Math.floor(findings / 2) }, () => finding),
  },
  { ...verdict, gate: 'security', kind: 'security' as const, findings: Array.from({ length: Math.floor(findings) }, () => finding) },
  { ...verdict, gate: 'coverage', kind: 'coverage' as const, coverage: { covered: Math.floor(80 * coverage), measured: 80 } },
];

const open: Omit<Task, 'id' | 'title' | 'source' | 'repository' | 'createdAt' | 'updatedAt'> = {
  externalRef: null,
  doneWhen: null,
  maxRounds: null,
  parentTaskId: null,
  body: null,
  ref: null,
  priority: 'medium',
  status: 'running',
  reason: null,
  dedupeKey: null,
  budgetUsd: null,
  verify: null,
  engine: 'claude',
  profile: 'default',
  tier: null,
  labels: [],
  deliverable: 'changes',
  branch: null,
  requestedBy: 'owner',
  trust: 'owner',
  attempts: 1,
  maxAttempts: 3,
  losses: 0,
  needsApproval: false,
  helped: false,
  waitingFor: 0,
  notBefore: null,
  cancelRequestedAt: null,
  closedAt: null,
};
