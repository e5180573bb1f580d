import { z } from '@hono/zod-openapi';
import { budgetScopes, inUsd } from '../domain/budget.ts';
import { checkpointKinds } from '../domain/checkpoint.ts';
import type { JournalEvent } from '../domain/event.ts';
import { verdicts } from '../domain/examination.ts';
import { gateExcuses, gateKinds } from '../domain/gate.ts';
import type { RunResult } from '../domain/result.ts';
import { reviewVerdicts } from '../domain/review.ts';
import { type DecidedRound, stopRules } from '../domain/round.ts';
import { type Run, runStatuses } from '../domain/run.ts';
import { type Spending, usageDimensions } from '../domain/spending.ts';
import { deliverables, priorities, type Task, taskStatuses, trustLevels } from '../domain/task.ts';
import { tiers } from '../domain/tier.ts';
import type { TokenUsage } from '../domain/usage.ts';
import { workspaceStatuses } from '../domain/workspace.ts';
import { type auditSchema, type keySchema, sessionSchema } from './views/access.ts';
import { alertSchema } from './views/alerts.ts';
import type { deliverySchema, messageSchema, wholeDeliverySchema } from './views/mail.ts';
import type { noteSchema } from './views/notes.ts';
import { iso, reasonSchema, time } from './views/values.ts';

/** What the API shows. Times are ISO 8601 in UTC; what is not set is null. */

export const taskSchema = z
  .object({
    id: z.string().openapi({ example: 'tsk_01KEXAMPLE000000000000000' }),
    title: z.string(),
    body: z.string().nullable().openapi({ description: 'In lists only its first 2,000 characters.' }),
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
    doneWhen: z.string().nullable().openapi({ description: 'When it is done, in words.' }),
    maxRounds: z
      .number()
      .nullable()
      .openapi({ description: 'How often an agent may try to make its gates green, where the task says so.' }),
    engine: z.string().nullable(),
    profile: z.string(),
    tier: z.enum(tiers).nullable(),
    labels: z.array(z.string()),
    deliverable: z.enum(deliverables).openapi({ description: 'What has to come of it.' }),
    branch: z.string().nullable().openapi({ description: 'Where its changes go, instead of to a branch of their own.' }),
    parentTaskId: z.string().nullable().openapi({ description: 'The task whose run found that this one is worth doing.' }),
    attempts: z.number().int(),
    maxAttempts: z.number().int(),
    cancelRequestedAt: time,
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    closedAt: time,
    runs: z.array(z.object({ id: z.string(), status: z.enum(runStatuses) })),
  })
  .openapi('Task');

const countsSchema = z.object({ passed: z.number().int(), failed: z.number().int(), skipped: z.number().int() }).nullable();

const verdictSchema = z
  .object({
    gate: z.string(),
    kind: z.enum(gateKinds),
    passed: z.boolean(),
    excuse: z.enum(gateExcuses).nullable().openapi({ description: 'Why a gate that said no does not count as red.' }),
    summary: z.string(),
    findings: z.array(z.object({ path: z.string().nullable(), line: z.number().int().nullable(), text: z.string() })),
    command: z.array(z.string()).nullable(),
    exitCode: z.number().int().nullable(),
    counts: countsSchema,
    coverage: z
      .object({ covered: z.number().int(), measured: z.number().int() })
      .optional()
      .openapi({ description: 'Lines that the change adds, where the tests left a report of them.' }),
    output: z.string().nullable().openapi({ description: 'The end of what a red command printed.' }),
    signature: z.string().nullable().openapi({ description: 'Equal for the same error.' }),
    durationMs: z.number().int(),
    cached: z.boolean().openapi({ description: 'Taken from an earlier round with the same files.' }),
  })
  .openapi('GateVerdict');

const roundSchema = z
  .object({
    number: z.number().int().openapi({ description: 'Counted on when a run goes on after a crash.' }),
    tree: z.string().nullable().openapi({ description: "git's name for the files as they were." }),
    verdicts: z.array(verdictSchema),
    decision: z.enum(['finish', 'continue', 'stop']),
    rule: z.enum(stopRules).nullable().openapi({ description: 'Why it was given up.' }),
    at: z.iso.datetime(),
  })
  .openapi('Round');

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
    sessionId: z.string().nullable(),
    branch: z.string().nullable().openapi({ description: 'Where its commits are.' }),
    baseCommit: z.string().nullable(),
    commits: z.array(z.string()),
    filesChanged: z.array(
      z.object({
        path: z.string(),
        from: z.string().optional(),
        kind: z.enum(['added', 'modified', 'deleted', 'renamed', 'copied', 'type-changed']),
        additions: z.number().int().nullable(),
        deletions: z.number().int().nullable(),
        binary: z.boolean(),
      }),
    ),
    diff: z.string().nullable().openapi({ description: 'The beginning of the patch; the whole is in `diffFile` on the node that ran it.' }),
    diffFile: z.string().nullable(),
    diffTruncated: z.boolean(),
    artifacts: z.array(z.object({ name: z.string(), bytes: z.number().int() })).openapi({
      description: 'Files that the run left in `$NIGHTSHIFT_ARTIFACTS`, as long as its records are kept; from the node that ran it.',
    }),
    delivery: z
      .object({ kind: z.enum(['pushed', 'already-there', 'left-in-mirror']), branch: z.string(), fetchCommand: z.string().optional() })
      .nullable()
      .openapi({ description: 'Where the commits are to be had.' }),
    tests: z
      .object({
        command: z.array(z.string()),
        passed: z.boolean(),
        exitCode: z.number().int().nullable(),
        counts: countsSchema,
      })
      .nullable(),
    notGreen: z
      .array(z.object({ gate: z.string(), excuse: z.enum(gateExcuses), summary: z.string() }))
      .openapi({ description: 'Gates that were not green and were excused: red before too, impossible to run, or flaky.' }),
    review: z
      .object({
        verdict: z.enum(reviewVerdicts),
        summary: z.string(),
        comments: z.array(
          z.object({
            path: z.string(),
            line: z.number().int(),
            startLine: z.number().int().optional(),
            side: z.enum(['new', 'old']),
            text: z.string(),
          }),
        ),
      })
      .nullable()
      .openapi({ description: 'Of a task that was asked for one.' }),
    tokens: z.object({
      inputTokens: z.number().int(),
      outputTokens: z.number().int(),
      cacheReadTokens: z.number().int(),
      cacheWriteTokens: z.number().int(),
    }),
    costUsd: z.number().openapi({ description: 'Of all its model calls, by the ledger.' }),
    toolCalls: z.number().int(),
    rounds: z.array(roundSchema).openapi({ description: 'Each time that it stopped, and what the gates said then.' }),
  })
  .openapi('Run');

export const checkpointSchema = z
  .object({
    id: z.string().openapi({ example: 'chk_01KEXAMPLE000000000000000' }),
    taskId: z.string(),
    runId: z.string(),
    number: z.number().int().openapi({ description: 'Counts up within the run.' }),
    workspaceId: z.string(),
    kind: z.enum(checkpointKinds),
    note: z.string(),
    files: z.string().openapi({ description: "git's name for the files as a tree." }),
    keepsIgnored: z.boolean().openapi({ description: 'False when there was too much that is ignored to keep any of it.' }),
    tooBig: z.array(z.string()).openapi({ description: 'Paths that were left out for their size; a rewind leaves them as they are.' }),
    session: z
      .object({ sessionId: z.string(), messageId: z.string().nullable() })
      .nullable()
      .openapi({ description: 'How far the conversation was.' }),
    gates: z.array(z.object({ gate: z.string(), passed: z.boolean() })),
    at: z.iso.datetime(),
  })
  .openapi('Checkpoint');

const machineSchema = z
  .object({
    serverMemoryBytes: z.number().int().openapi({ description: 'Resident memory of the server; what runs need comes on top.' }),
    memoryBytes: z.number().int().openapi({ description: 'As much as a container may have, if that is less than there is.' }),
    memoryFreeBytes: z.number().int(),
    cpus: z.number().int(),
    load: z.number().openapi({ description: 'How many processes wanted a CPU at once, on average over the last minute.' }),
    diskBytes: z.number().int().openapi({ description: "Of the disk that the server's home is on." }),
    diskFreeBytes: z.number().int(),
  })
  .openapi('Machine');

export const queueSchema = z
  .object({
    paused: z.boolean(),
    open: z.array(z.object({ priority: z.enum(priorities), status: z.enum(taskStatuses), count: z.number().int() })),
    nodes: z.array(
      z.object({
        id: z.string(),
        startedAt: z.iso.datetime(),
        address: z.string().nullable(),
        machine: machineSchema
          .nullable()
          .openapi({ description: 'What it has to work with, as of its last heartbeat; null before the first.' }),
        breakers: z
          .array(z.object({ id: z.string(), state: z.enum(['open', 'half-open']) }))
          .openapi({ description: 'Models that it does not get an answer from, as of its last heartbeat.' }),
      }),
    ),
  })
  .openapi('Queue');

export const workspaceSchema = z
  .object({
    id: z.string().openapi({ example: 'wsp_01KEXAMPLE000000000000000' }),
    taskId: z.string(),
    runId: z.string().openapi({ description: 'The run that has it, or had it last.' }),
    nodeId: z.string().openapi({ description: 'The node on whose disk it is.' }),
    status: z.enum(workspaceStatuses),
    repository: z.string(),
    ref: z.string(),
    branch: z.string(),
    baseCommit: z.string(),
    tip: z.string(),
    path: z.string(),
    createdAt: z.iso.datetime(),
    completedAt: z.iso.datetime().nullable(),
    cleanupAt: z.iso.datetime().nullable().openapi({ description: 'When its files go by themselves.' }),
    removedAt: z.iso.datetime().nullable(),
  })
  .openapi('Workspace');

export const budgetSchema = z
  .object({
    scope: z.enum(budgetScopes),
    about: z.string(),
    unit: z.enum(['usd', 'tokens']),
    limit: z.number().nullable().openapi({ description: 'null is no limit.' }),
    spent: z.number().nullable().openapi({ description: 'So far today; null where it is counted for each run or conversation.' }),
    reserved: z.number().nullable().openapi({ description: 'What calls under way may still cost.' }),
    left: z.number().nullable(),
    resetsAt: z.iso.datetime().nullable(),
  })
  .openapi('Budget');

/** A year of days fits; of tasks and the like the dearest. */
export const mostUsageItems = 366;

const spending = {
  calls: z.number().int(),
  failedCalls: z.number().int(),
  inputTokens: z.number().int(),
  outputTokens: z.number().int(),
  cacheReadTokens: z.number().int(),
  cacheWriteTokens: z.number().int(),
  costUsd: z.number(),
};

export const usageSchema = z
  .object({
    from: z.iso.date(),
    to: z.iso.date(),
    by: z.enum(usageDimensions),
    items: z.array(
      z.object({ key: z.string().openapi({ description: 'A day, a model, a task …; empty where there was none.' }), ...spending }),
    ),
    total: z.object(spending),
    truncated: z.boolean().openapi({ description: `There are more than ${mostUsageItems}; these are the dearest.` }),
  })
  .openapi('Usage');

const share = z.number().min(0).max(1).nullable();
const ends = { succeeded: z.number().int(), failed: z.number().int(), cancelled: z.number().int() };
const work = {
  finished: z.number().int().openapi({ description: 'Succeeded or failed, or called off after a person had had to help.' }),
  alone: z.number().int().openapi({ description: 'Succeeded without a person.' }),
  autonomy: share.openapi({ description: '`alone` of `finished`; null where nothing was finished.' }),
};
const success = { success: share.openapi({ description: 'Of those that succeeded or failed.' }) };

export const trendsSchema = z
  .object({
    from: z.iso.date(),
    to: z.iso.date(),
    days: z.array(z.object({ day: z.iso.date(), ...ends })).openapi({ description: 'Tasks that ended, by the UTC day on which they did.' }),
    weeks: z.array(z.object({ week: z.iso.date().openapi({ description: 'Its Monday.' }), ...work })),
    sources: z.array(
      z.object({
        source: z.string(),
        ...ends,
        ...work,
        ...success,
        weeks: z.array(share).openapi({ description: 'Its `success` week by week, as in `weeks`.' }),
      }),
    ),
    total: z.object({ ...ends, ...work, ...success }),
  })
  .openapi('Trends');

export const gateTrendSchema = z
  .object({
    from: z.iso.date(),
    to: z.iso.date(),
    repository: z.string().nullable(),
    days: z.array(
      z.object({
        day: z.iso.date(),
        runs: z
          .number()
          .int()
          .openapi({ description: 'Runs whose gates were asked for the last time that day; the rest adds up over these.' }),
        findings: z.number().int().openapi({ description: 'What the gates found, also those that passed.' }),
        complex: z.number().int().openapi({ description: 'Functions that are too complex.' }),
        red: z.number().int().openapi({ description: 'Gates that were red when the run was over.' }),
        redBefore: z.number().int().openapi({ description: 'Gates that had been red before the agent came.' }),
        coveredLines: z.number().int(),
        measuredLines: z.number().int().openapi({ description: 'Changed lines of which a report of the tests has told.' }),
        coverage: share.openapi({ description: '`coveredLines` of `measuredLines`.' }),
      }),
    ),
    repositories: z
      .array(z.object({ repository: z.string(), runs: z.number().int() }))
      .openapi({ description: 'Those that there is something to be told of, the busiest first.' }),
  })
  .openapi('GateTrend');

export const runSpendingSchema = z
  .object({
    items: z.array(
      z.object({
        at: z.iso.datetime(),
        calls: z.number().int(),
        inputTokens: z.number().int().openapi({ description: 'With those from the cache and into it.' }),
        outputTokens: z.number().int(),
        costUsd: z.number(),
      }),
    ),
  })
  .openapi('RunSpending');

export const serverSchema = z
  .object({
    version: z.string(),
    node: z.string(),
    startedAt: z.iso.datetime(),
    store: z.enum(['sqlite', 'postgres']),
    capacity: z.number().int().openapi({ description: 'Runs at the same time on this node.' }),
    engines: z.array(z.string()),
    defaultEngine: z.string().nullable(),
    providers: z
      .array(z.string())
      .openapi({ description: 'Who answers for the models, in the order asked; none while agents cannot work.' }),
    model: z.string().nullable().openapi({ description: 'Null leaves the choice to the engine.' }),
    sandbox: z.object({ active: z.boolean(), summary: z.string(), remedy: z.string().nullable() }),
    sources: z.array(z.string()).openapi({ description: 'Where work comes from by itself.' }),
  })
  .openapi('Server');

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

export const resolvedSchema = z
  .object({
    task: taskSchema,
    work: z
      .object({
        runId: z.string(),
        nodeId: z.string().openapi({ description: 'The server that has it.' }),
        branch: z.string().nullable(),
        fetchCommand: z
          .string()
          .nullable()
          .openapi({ description: 'How to get the branch; null when nothing was committed that only this server has.' }),
        workspace: z.string().nullable().openapi({ description: 'Its directory, while that is kept; the files are in `tree`.' }),
        transcript: z.string().openapi({ description: 'Where all that the run said and did is told, as an event stream.' }),
        outputFile: z.string(),
        sessionId: z.string().nullable(),
        summary: z.string().nullable(),
      })
      .nullable()
      .openapi({ description: 'With `take-over`: what there is to go on from.' }),
  })
  .openapi('Resolved');

export const examinationSchema = z
  .object({
    at: z.string().openapi({ format: 'date-time' }),
    healthy: z.boolean().openapi({ description: 'Nothing that must work does not; warnings do not count.' }),
    checks: z.array(
      z.object({
        check: z.string(),
        verdict: z.enum(verdicts),
        found: z.string(),
        remedy: z.string().optional().openapi({ description: 'What to do about it.' }),
      }),
    ),
  })
  .openapi('Examination');

export const backupSchema = z
  .object({ file: z.string(), kind: z.enum(['scheduled', 'by-hand']), bytes: z.int(), madeAt: z.string().openapi({ format: 'date-time' }) })
  .openapi('Backup', { description: 'On the disk of this node.' });

export const backupsSchema = z.object({ items: z.array(backupSchema), failure: z.string().nullable() }).openapi('Backups');
export const providersSchema = z
  .object({
    providers: z
      .array(
        z.object({
          name: z.string(),
          keys: z.array(z.object({ id: z.string().nullable(), state: z.enum(['ok', 'limited', 'rejected']), until: time })),
        }),
      )
      .openapi({ description: 'In the order in which they are asked. An id tells nothing of its key.' }),
    breakers: z.array(
      z.object({
        id: z.string(),
        provider: z.string(),
        model: z.string(),
        state: z.enum(['closed', 'open', 'half-open']),
        failures: z.number().int(),
        until: time,
      }),
    ),
    waiting: z.array(z.object({ runId: z.string(), calls: z.number().int() })),
  })
  .openapi('Providers');

export const snapshotSchema = z
  .object({
    position: z.string().openapi({ description: 'Where in the journal this is; opaque.' }),
    session: sessionSchema,
    server: serverSchema,
    queue: queueSchema,
    budgets: z.array(budgetSchema),
    alerts: z.array(alertSchema),
    tasks: z.array(taskSchema),
    run: z.union([runSchema, z.null()]),
  })
  .openapi('Snapshot');

/** The same as types, which is all that the dashboard takes from the server. */

export type AlertView = z.infer<typeof alertSchema>;
export type ProvidersView = z.infer<typeof providersSchema>;
export type DeliveryView = z.infer<typeof deliverySchema>;
export type WholeDeliveryView = z.infer<typeof wholeDeliverySchema>;
export type MessageView = z.infer<typeof messageSchema>;
export type NoteView = z.infer<typeof noteSchema>;
export type TaskView = z.infer<typeof taskSchema>;
export type RunView = z.infer<typeof runSchema>;
export type QueueView = z.infer<typeof queueSchema>;
export type ServerView = z.infer<typeof serverSchema>;
export type CheckpointView = z.infer<typeof checkpointSchema>;
export type WorkspaceView = z.infer<typeof workspaceSchema>;
export type BudgetView = z.infer<typeof budgetSchema>;
export type ResolvedView = z.infer<typeof resolvedSchema>;
export type ExaminationView = z.infer<typeof examinationSchema>;
export type BackupsView = z.infer<typeof backupsSchema>;
export type TrendsView = z.infer<typeof trendsSchema>;
export type GateTrendView = z.infer<typeof gateTrendSchema>;
export type RunSpendingView = z.infer<typeof runSpendingSchema>;
export type UsageView = z.infer<typeof usageSchema>;
export type SessionView = z.infer<typeof sessionSchema>;
export type KeyView = z.infer<typeof keySchema>;
export type AuditView = z.infer<typeof auditSchema>;
export type SnapshotView = z.infer<typeof snapshotSchema>;
export type EventView = z.infer<typeof eventSchema>;

export function taskView(task: Task, dependsOn: readonly string[], runs: readonly Pick<Run, 'id' | 'status'>[]): TaskView {
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
    doneWhen: task.doneWhen,
    maxRounds: task.maxRounds,
    engine: task.engine,
    profile: task.profile,
    tier: task.tier,
    labels: [...task.labels],
    deliverable: task.deliverable,
    branch: task.branch,
    parentTaskId: task.parentTaskId,
    attempts: task.attempts,
    maxAttempts: task.maxAttempts,
    cancelRequestedAt: iso(task.cancelRequestedAt),
    createdAt: new Date(task.createdAt).toISOString(),
    updatedAt: new Date(task.updatedAt).toISOString(),
    closedAt: iso(task.closedAt),
    runs: runs.map(({ id, status }) => ({ id, status })),
  };
}

/** Of runs older than the ledger there is only what the engine reckoned. */
export function runView(
  run: Run,
  outputFile: string,
  result: RunResult,
  artifacts: Readonly<RunView['artifacts']>,
  spent: Spending,
  rounds: readonly DecidedRound[],
): RunView {
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
    sessionId: result.sessionId,
    branch: result.branch,
    baseCommit: result.baseCommit,
    commits: [...result.commits],
    filesChanged: result.filesChanged.map((file) => ({ ...file })),
    diff: result.diff,
    diffFile: result.diffFile,
    diffTruncated: result.diffTruncated,
    delivery: result.delivery,
    artifacts: [...artifacts],
    review: result.review && { ...result.review, comments: result.review.comments.map((comment) => ({ ...comment })) },
    tests: result.tests && { ...result.tests, command: [...result.tests.command] },
    notGreen: result.notGreen.map((each) => ({ ...each })),
    tokens: spent.calls === 0 ? result.tokens : tokensView(spent),
    costUsd: spent.calls === 0 ? result.costUsd : inUsd(spent.costMicroUsd),
    toolCalls: result.toolCalls,
    rounds: rounds.map(roundView),
  };
}

export const tokensView = ({ inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens }: TokenUsage): TokenUsage => ({
  inputTokens,
  outputTokens,
  cacheReadTokens,
  cacheWriteTokens,
});

const roundView = ({ verdicts, at, ...round }: DecidedRound): z.infer<typeof roundSchema> => ({
  ...round,
  verdicts: verdicts.map((verdict) => ({
    ...verdict,
    command: verdict.command && [...verdict.command],
    findings: verdict.findings.map((finding) => ({ ...finding })),
  })),
  at: new Date(at).toISOString(),
});

export const eventView = (event: JournalEvent): EventView => ({ ...event, at: new Date(event.at).toISOString() });
