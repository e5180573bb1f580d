import { backoffMs } from '../domain/backoff.ts';
import { type Clock, wait } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Span } from './trace.ts';

interface ExportParts {
  /** Nothing of it and of the headers gets into the log: both may carry keys. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly resource: Readonly<Record<string, string>>;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Exporter {
  /** Never waits. When too many wait already, it is dropped and counted. */
  add(span: Span): void;
  /** One try for what waits, and then it is over. */
  stop(): Promise<void>;
}

// The defaults of the standard, for batches, and for what a collector may take.
const mostWaiting = 2_048;
const batchSize = 512;
const delayMs = 5_000;
const timeoutMs = 10_000;
const tries = 5;
const stopMs = 5_000;
const backoff = { baseMs: 1_000, capMs: 16_000 };
const longestWaitMs = 30_000;

type Sent = { readonly kind: 'taken' } | { readonly kind: 'refused' | 'later'; readonly why: string; readonly afterMs?: number };

/** Sends spans as OTLP over HTTP, in JSON: batch by batch, again when the collector is not there, and never more than a few thousand. */
export function exportSpans(parts: ExportParts): Exporter {
  const { clock, log } = parts;
  let waiting: Span[] = [];
  let dropped = 0;
  let wellSoFar = true;
  let working: Promise<void> | undefined;
  let cancelDelay: (() => void) | undefined;
  const stopping = new AbortController();
  /** A stop waits for what is under way, so long. */
  const givingUp = new AbortController();

  function add(span: Span): void {
    if (stopping.signal.aborted) return;
    if (waiting.length >= mostWaiting) {
      dropped += 1;
      return;
    }
    waiting.push(span);
    if (working) return;
    if (waiting.length >= batchSize) work();
    else cancelDelay ??= clock.after(delayMs, work);
  }

  function work(): void {
    cancelDelay?.();
    cancelDelay = undefined;
    working ??= workOff().finally(() => {
      working = undefined;
      if (waiting.length > 0 && !stopping.signal.aborted) cancelDelay ??= clock.after(delayMs, work);
    });
  }

  async function workOff(): Promise<void> {
    do await deliver(waiting.splice(0, batchSize));
    while (waiting.length >= batchSize && !stopping.signal.aborted);
  }

  async function deliver(batch: readonly Span[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const sent = await send(parts, batch, givingUp.signal);
      if (sent.kind === 'taken') return well();
      if (sent.kind === 'refused' || attempt === tries) return lost(batch.length, sent.why);
      await wait(clock, sent.afterMs ?? backoffMs(attempt, Math.random(), backoff), stopping.signal);
      // The last word is that of the stop, which tries once more.
      if (stopping.signal.aborted) return void waiting.unshift(...batch);
    }
  }

  function well(): void {
    if (!wellSoFar) log.info({ dropped }, 'traces reach their collector again');
    else if (dropped > 0) log.warn({ dropped }, 'there were more traces than their collector takes');
    wellSoFar = true;
    dropped = 0;
  }

  function lost(spans: number, why: string): void {
    dropped += spans;
    if (wellSoFar) log.warn({ why }, 'traces do not reach their collector; what does not fit in memory meanwhile is dropped');
    wellSoFar = false;
  }

  return {
    add,
    async stop() {
      stopping.abort('stopping');
      cancelDelay?.();
      const cancel = clock.after(stopMs, () => givingUp.abort('too slow'));
      await working;
      while (waiting.length > 0) {
        const batch = waiting.splice(0, batchSize);
        const sent = await send(parts, batch, givingUp.signal);
        if (sent.kind === 'taken') continue;
        dropped += batch.length + waiting.length;
        waiting = [];
        log.warn({ why: sent.why, dropped }, 'the last traces did not reach their collector');
      }
      cancel();
    },
  };
}

async function send(parts: ExportParts, batch: readonly Span[], giveUp: AbortSignal): Promise<Sent> {
  const { url, headers, clock } = parts;
  const late = new AbortController();
  const cancel = clock.after(timeoutMs, () => late.abort('too slow'));
  try {
    const response = await fetch(url, {
      method: 'POST',
      // Headers with keys go where they were meant to go.
      redirect: 'manual',
      signal: AbortSignal.any([giveUp, late.signal]),
      headers: { 'content-type': 'application/json', 'user-agent': 'nightshift', ...headers },
      body: payload(parts, batch),
    });
    // Whatever it says, however long it goes on: the status is all that counts.
    await response.body?.cancel();
    if (response.ok) return { kind: 'taken' };
    const why = `it answers with status ${response.status}`;
    if (![429, 502, 503, 504].includes(response.status)) return { kind: 'refused', why };
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
    return { kind: 'later', why, ...(seconds >= 0 ? { afterMs: Math.min(longestWaitMs, seconds * 1_000) } : {}) };
  } catch (error) {
    if (late.signal.aborted || giveUp.aborted) return { kind: 'later', why: 'it does not answer in time' };
    const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
    return { kind: 'later', why: `it cannot be reached (${code ?? 'no answer'})` };
  } finally {
    cancel();
  }
}

const kinds = { internal: 1, server: 2, client: 3 } as const;
const failedStatus = { code: 2 };

const payload = ({ resource, version }: ExportParts, batch: readonly Span[]): string =>
  JSON.stringify({
    resourceSpans: [
      { resource: { attributes: listed(resource) }, scopeSpans: [{ scope: { name: 'nightshift', version }, spans: batch.map(written) }] },
    ],
  });

function written({ traceId, spanId, parentId, name, kind, startMs, endMs, failed, attributes }: Span): object {
  return {
    traceId,
    spanId,
    ...(parentId === null ? {} : { parentSpanId: parentId }),
    name,
    kind: kinds[kind],
    startTimeUnixNano: nanoseconds(startMs),
    endTimeUnixNano: nanoseconds(Math.max(startMs, endMs)),
    attributes: listed(attributes),
    ...(failed ? { status: failedStatus } : {}),
  };
}

/** More than a number holds exactly, so a text, as the standard wants it. */
const nanoseconds = (ms: number): string => String(BigInt(Math.round(ms * 1_000)) * 1_000n);

const listed = (attributes: Span['attributes']): object[] =>
  Object.entries(attributes).flatMap(([key, value]) => (value === null ? [] : [{ key, value: typed(value) }]));

function typed(value: string | number | boolean): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
