import type { Kysely } from 'kysely';
import type { Checkpoint, GateState } from '../domain/checkpoint.ts';
import { chunks } from './rows.ts';
import type { CheckpointTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

export async function insertCheckpoint(tx: Tx, checkpoint: Checkpoint): Promise<void> {
  await tx.db.insertInto('checkpoints').values(toRow(checkpoint)).execute();
}

export async function findCheckpoint(db: Kysely<Schema>, id: string): Promise<Checkpoint | undefined> {
  const row = await db.selectFrom('checkpoints').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toCheckpoint(row);
}

/** In the order in which they were made. */
export async function checkpointsOfRun(db: Kysely<Schema>, runId: string): Promise<readonly Checkpoint[]> {
  const rows = await db.selectFrom('checkpoints').selectAll().where('run_id', '=', runId).orderBy('number').execute();
  return rows.map(toCheckpoint);
}

export async function checkpointsOfWorkspace(db: Kysely<Schema>, workspaceId: string): Promise<readonly Checkpoint[]> {
  const rows = await db
    .selectFrom('checkpoints')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .orderBy('run_id')
    .orderBy('number')
    .execute();
  return rows.map(toCheckpoint);
}

/** Of the workspaces that are on a node's disk. */
export async function workspacesWithCheckpoints(db: Kysely<Schema>, nodeId: string): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('checkpoints')
    .innerJoin('workspaces', 'workspaces.id', 'checkpoints.workspace_id')
    .select('workspace_id')
    .distinct()
    .where('workspaces.node_id', '=', nodeId)
    .execute();
  return rows.map(({ workspace_id }) => workspace_id);
}

/** Those of the tasks that have a conversation to go back to. */
export async function tasksWithCheckpoints(db: Kysely<Schema>, taskIds: readonly string[]): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const chunk of chunks(taskIds)) {
    const rows = await db
      .selectFrom('checkpoints')
      .select('task_id')
      .distinct()
      .where('task_id', 'in', chunk)
      .where('session_id', 'is not', null)
      .execute();
    for (const { task_id } of rows) found.add(task_id);
  }
  return found;
}

/** Which of these places, as `<run>/<number>`, are of a checkpoint that there is. */
export async function knownCheckpoints(db: Kysely<Schema>, runIds: readonly string[]): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const chunk of chunks(runIds)) {
    const rows = await db.selectFrom('checkpoints').select(['run_id', 'number']).where('run_id', 'in', chunk).execute();
    for (const { run_id, number } of rows) found.add(`${run_id}/${number}`);
  }
  return found;
}

export async function deleteCheckpoints(tx: Tx, ids: readonly string[]): Promise<void> {
  for (const chunk of chunks(ids)) await tx.db.deleteFrom('checkpoints').where('id', 'in', chunk).execute();
}

const toRow = (checkpoint: Checkpoint): CheckpointTable => ({
  id: checkpoint.id,
  task_id: checkpoint.taskId,
  run_id: checkpoint.runId,
  number: checkpoint.number,
  workspace_id: checkpoint.workspaceId,
  kind: checkpoint.kind,
  note: checkpoint.note,
  files: checkpoint.files,
  ignored: checkpoint.ignored,
  too_big: JSON.stringify(checkpoint.tooBig),
  tip: checkpoint.tip,
  session_id: checkpoint.session?.sessionId ?? null,
  message_id: checkpoint.session?.messageId ?? null,
  gates: JSON.stringify(checkpoint.gates),
  at: checkpoint.at,
});

const toCheckpoint = (row: CheckpointTable): Checkpoint => ({
  id: row.id,
  taskId: row.task_id,
  runId: row.run_id,
  number: row.number,
  workspaceId: row.workspace_id,
  kind: row.kind,
  note: row.note,
  files: row.files,
  ignored: row.ignored,
  tooBig: JSON.parse(row.too_big) as readonly string[],
  tip: row.tip,
  session: row.session_id === null ? null : { sessionId: row.session_id, messageId: row.message_id },
  gates: JSON.parse(row.gates) as readonly GateState[],
  at: row.at,
});
