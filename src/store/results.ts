import type { Kysely } from 'kysely';
import { noResult, type RunResult } from '../domain/result.ts';
import { addUsage, type TokenUsage } from '../domain/usage.ts';
import { chunks, fromJson, toJson } from './rows.ts';
import type { RunResultTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

export type Figures = Pick<RunResult, 'tokens' | 'costUsd' | 'toolCalls'>;

/** Replaces what was known of the run's result. */
export async function saveResult(tx: Tx, runId: string, result: RunResult): Promise<void> {
  const row = {
    session_id: result.sessionId,
    branch: result.branch,
    base_commit: result.baseCommit,
    commits: JSON.stringify(result.commits),
    files_changed: JSON.stringify(result.filesChanged),
    diff: result.diff,
    diff_file: result.diffFile,
    diff_truncated: result.diffTruncated ? 1 : 0,
    delivery: toJson(result.delivery),
    tests: toJson(result.tests),
    not_green: result.notGreen.length === 0 ? null : JSON.stringify(result.notGreen),
    review: toJson(result.review),
    tokens: JSON.stringify(result.tokens),
    cost_usd: result.costUsd,
    tool_calls: result.toolCalls,
  };
  await tx.db
    .insertInto('run_results')
    .values({ run_id: runId, ...row })
    .onConflict((conflict) => conflict.column('run_id').doUpdateSet(row))
    .execute();
}

/** What came of the run so far; of one that has come to nothing yet, nothing. */
export async function findResult(db: Kysely<Schema>, runId: string): Promise<RunResult> {
  const row = await db.selectFrom('run_results').selectAll().where('run_id', '=', runId).executeTakeFirst();
  return row ? toResult(row) : noResult;
}

export async function findResults(db: Kysely<Schema>, runIds: readonly string[]): Promise<ReadonlyMap<string, RunResult>> {
  const found = new Map<string, RunResult>();
  for (const chunk of chunks(runIds)) {
    const rows = await db.selectFrom('run_results').selectAll().where('run_id', 'in', chunk).execute();
    for (const row of rows) found.set(row.run_id, toResult(row));
  }
  return found;
}

/** Added up over all runs of each task. */
export async function figuresOf(db: Kysely<Schema>, taskIds: readonly string[]): Promise<ReadonlyMap<string, Figures>> {
  if (taskIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('run_results')
    .innerJoin('runs', 'runs.id', 'run_results.run_id')
    .select(['runs.task_id', 'run_results.tokens', 'run_results.cost_usd', 'run_results.tool_calls'])
    .where('runs.task_id', 'in', taskIds)
    .execute();
  const sums = new Map<string, Figures>();
  for (const row of rows) {
    const { tokens, costUsd, toolCalls } = sums.get(row.task_id) ?? noResult;
    const more = JSON.parse(row.tokens) as TokenUsage;
    sums.set(row.task_id, { tokens: addUsage(tokens, more), costUsd: costUsd + row.cost_usd, toolCalls: toolCalls + row.tool_calls });
  }
  return sums;
}

function toResult(row: RunResultTable): RunResult {
  return {
    sessionId: row.session_id,
    branch: row.branch,
    baseCommit: row.base_commit,
    commits: JSON.parse(row.commits) as string[],
    filesChanged: JSON.parse(row.files_changed) as RunResult['filesChanged'],
    diff: row.diff,
    diffFile: row.diff_file,
    diffTruncated: row.diff_truncated === 1,
    delivery: fromJson(row.delivery),
    tests: fromJson(row.tests),
    notGreen: fromJson<RunResult['notGreen']>(row.not_green) ?? [],
    review: fromJson(row.review),
    tokens: JSON.parse(row.tokens) as RunResult['tokens'],
    costUsd: row.cost_usd,
    toolCalls: row.tool_calls,
  };
}

/** The newest session of a task, if an earlier run began one, and the run that went on with it last. */
export async function lastSession(
  db: Kysely<Schema>,
  taskId: string,
): Promise<{ readonly sessionId: string; readonly runId: string } | null> {
  const row = await db
    .selectFrom('run_results')
    .innerJoin('runs', 'runs.id', 'run_results.run_id')
    .select(['run_results.session_id', 'runs.id'])
    .where('runs.task_id', '=', taskId)
    .where('run_results.session_id', 'is not', null)
    .orderBy('runs.id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.session_id ? { sessionId: row.session_id, runId: row.id } : null;
}
