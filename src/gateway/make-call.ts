import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Budgets } from './budgets.ts';
import { keptShort } from './estimate.ts';
import type { ModelCall } from './model-call.ts';
import { leftUnasked, type Models, type Served } from './models.ts';
import { errorAnswer, type ModelRequest } from './providers/provider.ts';
import { type Meter, meterFor, type Observed } from './usage.ts';

export interface CallParts {
  readonly models: Models;
  readonly clock: Clock;
  readonly log: Log;
  /** Who pays for the calls. Without it nobody does, and nothing is limited: for tests of what is around it. */
  readonly budgets?: Budgets;
  onUsage(call: ModelCall): void;
}

interface Made {
  readonly response: Response;
  /** The answer is ours: there is no money for the call. */
  readonly overBudget: boolean;
}

/**
 * One call, whoever makes it: paid for, made, watched as its answer passes, and reported once when it is over. Never
 * rejects; a body that breaks off fails its reader.
 */
export async function makeCall(parts: CallParts, request: ModelRequest, signal: AbortSignal): Promise<Made> {
  const away = new AbortController();
  const leave = (): void => away.abort();
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  let call: Call | undefined;
  const done = (end: ModelCall['end'], observed?: Observed): void => {
    signal.removeEventListener('abort', leave);
    call?.end(end, observed);
  };
  try {
    const began = parts.clock.monotonic();
    const opened = request.endpoint === 'messages' ? await parts.budgets?.open(request, away.signal) : undefined;
    if (opened?.kind === 'refused') {
      done('refused');
      return { response: opened.answer, overBudget: opened.overBudget };
    }
    call = beginCall(parts, request, began, opened?.settle);
    const paid = opened ? keptShort(request, opened.outputTokens) : request;
    const { response, served } = away.signal.aborted
      ? { response: leftUnasked(), served: null }
      : await parts.models.answer(paid, away.signal);
    call.answered(response.status, served);
    if (!away.signal.aborted || response.ok) return made(observed(response, away, done));
    done('abandoned'); // nobody will read it
    return made(response);
  } catch (error) {
    done(away.signal.aborted ? 'abandoned' : 'cut');
    if (!away.signal.aborted) parts.log.error({ err: error, runId: request.caller.runId }, 'a provider broke');
    return made(errorAnswer({ status: 500, message: 'Nightshift could not pass the request on; its log says why.' }));
  }
}

const made = (response: Response): Made => ({ response, overBudget: false });

/** The same answer, watched as it passes. The reader sets the pace: nothing is fetched that nobody has asked for. */
function observed(response: Response, away: AbortController, done: (end: ModelCall['end'], observed?: Observed) => void): Response {
  const refused = !response.ok;
  if (!response.body) {
    done(refused ? 'refused' : 'complete');
    return response;
  }
  const meter: Meter = meterFor(response.headers.get('content-type') ?? '');
  const reader = response.body.getReader();
  /** What had come to its own end is complete, however its connection ends. */
  const over = (otherwise: 'cut' | 'abandoned'): void => {
    const seen = meter.end();
    done(refused || seen.errorType !== undefined ? 'refused' : seen.complete ? 'complete' : otherwise, seen);
  };
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done: ended, value } = await reader.read();
          if (value) {
            meter.see(value);
            controller.enqueue(value);
          }
          if (!ended) return;
          over('cut');
          controller.close();
        } catch (error) {
          over(away.signal.aborted ? 'abandoned' : 'cut');
          controller.error(error);
        }
      },
      async cancel(reason) {
        over('abandoned');
        away.abort();
        await reader.cancel(reason).catch(() => undefined); // it is over either way
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status: response.status, headers: response.headers });
}

interface Call {
  answered(status: number, served: Served | null): void;
  end(end: ModelCall['end'], observed?: Observed): void;
}

function beginCall(
  { clock, log, onUsage }: CallParts,
  { caller, endpoint, message: { model: asked } }: ModelRequest,
  began: number,
  settle: ((call: ModelCall) => void) | undefined,
): Call {
  let status: number | null = null;
  let served: Served | null = null;
  let firstByteMs: number | null = null;
  let reported = endpoint !== 'messages'; // the other two cost nothing
  return {
    answered(answeredWith, by) {
      status = answeredWith;
      served = by;
      firstByteMs = clock.monotonic() - began;
    },
    end(end, observed) {
      if (reported) return;
      reported = true;
      const model = observed?.model ?? served?.model ?? (typeof asked === 'string' ? asked : null);
      const usage = observed?.usage ?? null;
      const latencyMs = clock.monotonic() - began;
      const call = { caller, served, model, usage, observed: observed ?? null, end, status, firstByteMs, latencyMs };
      try {
        settle?.(call);
        onUsage(call);
      } catch (error) {
        log.error({ err: error, runId: caller.runId }, 'a model call could not be recorded');
      }
    },
  };
}
