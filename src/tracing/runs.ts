import type { JournalEvent } from '../domain/event.ts';
import type { LedgerEntry } from '../domain/spending.ts';
import { isClosed, type TaskStatus } from '../domain/task.ts';
import { newSpanId, parentIn, type Sampled, type Span, type SpanContext, spanIdOf, traceIdOf } from './trace.ts';

/** A run's work was committed, and brought to where it is wanted. */
export interface Delivery {
  readonly runId: string;
  readonly at: number;
  readonly durationMs: number;
  readonly ok: boolean;
}

export interface TaskOrigin {
  readonly createdAt: number;
  /** Of the request that asked for it, where one was traced. */
  readonly traceparent: string | null;
}

interface RunSpansParts {
  readonly node: string;
  readonly sampled: Sampled;
  readonly emit: (span: Span) => void;
  readonly originsOf: (taskIds: readonly string[]) => Promise<ReadonlyMap<string, TaskOrigin>>;
}

interface RunSpans {
  observe(events: readonly JournalEvent[]): Promise<void>;
  booked(entry: LedgerEntry): void;
  delivered(delivery: Delivery): void;
}

interface Phase {
  readonly spanId: string;
  readonly startMs: number;
  readonly attributes: Span['attributes'];
}

/** A run under way, or one that has just been: its last model call may be booked after its end. */
interface Traced {
  readonly taskId: string;
  readonly origin: TaskOrigin;
  readonly parentId: string | null;
  /** The task's place; runs are below it. */
  readonly task: SpanContext;
  readonly runSpanId: string;
  readonly startMs: number;
  readonly attributes: Span['attributes'];
  session: Phase | undefined;
  round: Phase | undefined;
  over: boolean;
}

/** Where a task's span stands: the same for all that is told of it, whoever tells it and when. */
export function placeOf(
  taskId: string,
  { traceparent }: TaskOrigin,
  sampled: Sampled,
): { readonly task: SpanContext; readonly parent: SpanContext | undefined } {
  const parent = parentIn(traceparent);
  const traceId = parent?.traceId ?? traceIdOf(taskId);
  return { task: { traceId, spanId: spanIdOf(taskId), sampled: sampled(traceId, parent) }, parent };
}

/** So many runs that are over are remembered, for what is told of them late. */
const remembered = 1_000;

/** Spans of the runs that this node started: the run below its task, sessions and rounds below the run, the rest below its round. */
export function spansOfRuns({ node, sampled, emit, originsOf }: RunSpansParts): RunSpans {
  const traced = new Map<string, Traced>();

  const tell = (run: Traced, span: Omit<Span, keyof SpanContext | 'kind'> & Partial<Pick<Span, 'spanId' | 'kind'>>): void =>
    emit({ kind: 'internal', spanId: newSpanId(), ...span, traceId: run.task.traceId, sampled: true });

  /** What happens in a run happens in a round of it, which begins with the first that does. */
  const roundOf = (run: Traced, at: number): string => {
    if (run.over) return run.runSpanId;
    run.round ??= { spanId: newSpanId(), startMs: at, attributes: {} };
    return run.round.spanId;
  };

  const end = (run: Traced, phase: Phase, name: string, endMs: number, attributes: Span['attributes']): void =>
    tell(run, { ...phase, parentId: run.runSpanId, name, endMs, failed: false, attributes: { ...phase.attributes, ...attributes } });

  function happened(run: Traced, { type, at, data, runId }: JournalEvent): void {
    switch (type) {
      case 'run.session':
        if (run.session) end(run, run.session, 'session', at, {});
        run.session = {
          spanId: newSpanId(),
          startMs: at,
          attributes: { 'nightshift.session.id': text(data['sessionId']), 'nightshift.session.resumed': data['resumed'] === true },
        };
        roundOf(run, at);
        return;
      case 'run.tool-finished':
        lasted(run, `tool ${text(data['tool'])}`, at, data, data['failed'] === true, { 'gen_ai.tool.name': text(data['tool']) });
        return;
      case 'run.hook':
        lasted(run, `hook ${text(data['id'])}`, at, data, data['verdict'] === 'failed', {
          'nightshift.hook.point': text(data['point']),
        });
        return;
      case 'run.gate':
        lasted(run, `gate ${text(data['gate'])}`, at, data, data['passed'] !== true && data['excuse'] === null, {
          'nightshift.gate.kind': text(data['kind']),
          'nightshift.gate.findings': Number(data['findings']),
          'nightshift.gate.cached': data['cached'] === true,
        });
        return;
      case 'run.round': {
        roundOf(run, at);
        const told = { 'nightshift.round': Number(data['number']), 'nightshift.round.decision': text(data['decision']) };
        if (run.round) end(run, run.round, 'round', at, told);
        run.round = undefined;
        return;
      }
      case 'task.status':
        if (isClosed(data['to'] as TaskStatus)) taskIsOver(run, at, data['to'] as TaskStatus);
        return;
      case 'run.finished':
        runIsOver(run, runId ?? '', at, data);
        return;
    }
  }

  function lasted(
    run: Traced,
    name: string,
    at: number,
    data: Record<string, unknown>,
    failed: boolean,
    attributes: Span['attributes'],
  ): void {
    const startMs = at - length(data['durationMs']);
    tell(run, { parentId: roundOf(run, startMs), name, startMs, endMs: at, failed, attributes });
  }

  function taskIsOver(run: Traced, at: number, status: TaskStatus): void {
    const { taskId, origin, parentId, task } = run;
    tell(run, {
      spanId: task.spanId,
      parentId,
      name: 'task',
      startMs: origin.createdAt,
      endMs: at,
      failed: status === 'failed',
      attributes: { 'nightshift.task.id': taskId, 'nightshift.task.status': status },
    });
  }

  function runIsOver(run: Traced, runId: string, at: number, data: Record<string, unknown>): void {
    if (run.round) end(run, run.round, 'round', at, {});
    if (run.session) end(run, run.session, 'session', at, {});
    run.round = run.session = undefined;
    run.over = true;
    const reason = data['reason'] as { readonly code?: string } | null;
    const failed = data['status'] === 'failed' || data['status'] === 'lost';
    tell(run, {
      spanId: run.runSpanId,
      parentId: run.task.spanId,
      name: 'run',
      startMs: run.startMs,
      endMs: at,
      failed,
      attributes: {
        ...run.attributes,
        'nightshift.run.attempt': Number(data['attempt']),
        'nightshift.run.status': text(data['status']),
        'error.type': failed ? text(reason?.code ?? 'failed') : null,
      },
    });
    // Put last, so that those that ended first are forgotten first.
    traced.delete(runId);
    traced.set(runId, run);
    for (const [id, { over }] of traced) {
      if (traced.size <= remembered) break;
      if (over) traced.delete(id);
    }
  }

  function begin({ type, at, taskId, runId, data }: JournalEvent, origins: ReadonlyMap<string, TaskOrigin>): void {
    const origin = origins.get(taskId ?? '');
    if (taskId === null || runId === null || !origin || traced.has(runId)) return;
    const { task, parent } = placeOf(taskId, origin, sampled);
    if (!task.sampled) return;
    traced.set(runId, {
      taskId,
      origin,
      parentId: parent?.spanId ?? null,
      task,
      runSpanId: spanIdOf(runId),
      startMs: type === 'run.started' ? at : at - length(data['durationMs']),
      attributes: {
        'nightshift.run.id': runId,
        'nightshift.task.id': taskId,
        'nightshift.run.engine': data['engine'] === undefined ? null : text(data['engine']),
      },
      session: undefined,
      round: undefined,
      over: false,
    });
  }

  return {
    async observe(events) {
      // One that ends and was not seen to begin was begun before this start of the server.
      const beginnings = events.filter(
        ({ type, runId, data }) =>
          (type === 'run.started' || type === 'run.finished') && data['node'] === node && runId !== null && !traced.has(runId),
      );
      const origins = beginnings.length === 0 ? new Map() : await originsOf(beginnings.flatMap(({ taskId }) => taskId ?? []));
      for (const event of beginnings) begin(event, origins);
      for (const event of events) {
        const run = traced.get(event.runId ?? '');
        if (run && !run.over) happened(run, event);
      }
    },
    booked(entry) {
      const run = traced.get(entry.runId);
      if (!run || entry.latencyMs === null) return;
      const model = entry.model === null ? null : text(entry.model);
      tell(run, {
        parentId: roundOf(run, entry.at),
        name: `chat ${model ?? 'unknown'}`,
        kind: 'client',
        startMs: entry.at,
        endMs: entry.at + entry.latencyMs,
        failed: entry.end !== 'complete' && entry.end !== 'abandoned',
        attributes: {
          'gen_ai.operation.name': 'chat',
          'gen_ai.provider.name': entry.provider,
          'gen_ai.request.model': model,
          'gen_ai.usage.input_tokens': entry.inputTokens,
          'gen_ai.usage.output_tokens': entry.outputTokens,
          'http.response.status_code': entry.status,
          'nightshift.call.id': entry.id,
          'nightshift.call.kind': entry.kind,
          'nightshift.call.end': entry.end,
          'nightshift.call.cost_usd': entry.costMicroUsd / 1e6,
          'nightshift.call.first_byte_ms': entry.firstByteMs,
        },
      });
    },
    delivered({ runId, at, durationMs, ok }) {
      const run = traced.get(runId);
      if (run) tell(run, { parentId: run.runSpanId, name: 'deliver', startMs: at - durationMs, endMs: at, failed: !ok, attributes: {} });
    },
  };
}

/** One that is none would spoil the whole batch that it is sent with. */
const length = (ms: unknown): number => (typeof ms === 'number' && Number.isFinite(ms) ? ms : 0);

/** Names of tools and gates come from outside. */
const text = (value: unknown): string => String(value ?? 'unknown').slice(0, 100);
