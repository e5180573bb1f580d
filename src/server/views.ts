import { z } from '@hono/zod-openapi';
import type { JournalEvent } from '../domain/event.ts';
import { type Run, runStatuses } from '../domain/run.ts';
import { priorities, type Task, taskStatuses, trustLevels } from '../domain/task.ts';

/** What the API shows. Times are ISO 8601 in UTC; what is not set is null. */

const time = z.iso.datetime().nullable();

const reasonSchema = z.object({ code: z.string(), message: z.string() }).nullable();

export const taskSchema = z
  .object({
    id: z.string().openapi({ example: 'tsk_01KEXAMPLE000000000000000' }),
    title: z.string(),
    body: z.string().nullable(),
    repository: z.string().nullable(),
    ref: z.string().nullable(),
    priority: z.enum(priorities),
    status: z.enum(taskStatuses),
    reason: reasonSchema.openapi({ description: 'Why it failed, waits, or needs a person.' }),
    source: z.string(),
    externalRef: z.string().nullable(),
    requestedBy: z.string(),
    trust: z.enum(trustLevels),
    dependsOn: z.array(z.string()),
    notBefore: time,
    dedupeKey: z.string().nullable(),
    budgetUsd: z.number().nullable(),
    verify: z.array(z.string()).nullable(),
    engine: z.string().nullable(),
    attempts: z.number().int(),
    maxAttempts: z.number().int(),
    cancelRequestedAt: time,
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    closedAt: time,
    runs: z.array(z.object({ id: z.string(), status: z.enum(runStatuses) })),
  })
  .openapi('Task');

export const runSchema = z
  .object({
    id: z.string().openapi({ example: 'run_01KEXAMPLE000000000000000' }),
    taskId: z.string(),
    nodeId: z.string(),
    engine: z.string().nullable(),
    attempt: z.number().int(),
    status: z.enum(runStatuses),
    reason: reasonSchema,
    summary: z.string().nullable(),
    startedAt: z.iso.datetime(),
    finishedAt: time,
    durationMs: z.number().int().nullable(),
    outputFile: z.string().openapi({ description: 'Where the whole output lies on the node that ran it.' }),
  })
  .openapi('Run');

export const eventSchema = z
  .object({
    id: z.string().openapi({ description: 'Position in the journal; give it back as Last-Event-ID.' }),
    at: z.iso.datetime(),
    type: z.string().openapi({ example: 'task.status' }),
    taskId: z.string().nullable(),
    runId: z.string().nullable(),
    data: z.record(z.string(), z.unknown()),
  })
  .openapi('Event');

export function taskView(task: Task, dependsOn: readonly string[], runs: readonly Run[]): z.infer<typeof taskSchema> {
  return {
    id: task.id,
    title: task.title,
    body: task.body,
    repository: task.repository,
    ref: task.ref,
    priority: task.priority,
    status: task.status,
    reason: task.reason,
    source: task.source,
    externalRef: task.externalRef,
    requestedBy: task.requestedBy,
    trust: task.trust,
    dependsOn: [...dependsOn],
    notBefore: iso(task.notBefore),
    dedupeKey: task.dedupeKey,
    budgetUsd: task.budgetUsd,
    verify: task.verify === null ? null : [...task.verify],
    engine: task.engine,
    attempts: task.attempts,
    maxAttempts: task.maxAttempts,
    cancelRequestedAt: iso(task.cancelRequestedAt),
    createdAt: new Date(task.createdAt).toISOString(),
    updatedAt: new Date(task.updatedAt).toISOString(),
    closedAt: iso(task.closedAt),
    runs: runs.map(({ id, status }) => ({ id, status })),
  };
}

export function runView(run: Run, outputFile: string): z.infer<typeof runSchema> {
  return {
    id: run.id,
    taskId: run.taskId,
    nodeId: run.nodeId,
    engine: run.engine,
    attempt: run.attempt,
    status: run.status,
    reason: run.reason,
    summary: run.summary,
    startedAt: new Date(run.startedAt).toISOString(),
    finishedAt: iso(run.finishedAt),
    durationMs: run.finishedAt === null ? null : Math.max(0, run.finishedAt - run.startedAt),
    outputFile,
  };
}

export const eventView = (event: JournalEvent): z.infer<typeof eventSchema> => ({ ...event, at: new Date(event.at).toISOString() });

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
