import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Budgets, Paid } from './budgets.ts';
import { keptShort } from './estimate.ts';
import type { ModelCall } from './model-call.ts';
import { leftUnasked, type Models, type Tries } from './models.ts';
import { errorAnswer, type ModelRequest } from './providers/provider.ts';
import { type Meter, meterFor, type Observed } from './usage.ts';

export interface CallParts {
  readonly models: Models;
  readonly clock: Clock;
  readonly log: Log;
  /** Who pays for the calls. Without it nobody does, and nothing is limited: for tests of what is around it. */
  readonly budgets?: Pick<Budgets, 'open'>;
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
      return { response: opened.answer, overBudget: opened.why === 'spent' };
    }
    const paid = opened?.paid;
    call = beginCall(parts, request, began, paid);
    const { response, ...answered } = away.signal.aborted
      ? nobodyAsked()
      : await parts.models.answer(paidFor(request, paid), away.signal, triesOf(parts, request, paid));
    call.answered(response.status, answered);
    const overBudget = paid?.overBudget === true;
    if (!away.signal.aborted || response.ok) return { response: observed(response, away, done), overBudget };
    done('abandoned'); // nobody will read it
    return { response, overBudget };
  } catch (error) {
    done(away.signal.aborted ? 'abandoned' : 'cut');
    if (!away.signal.aborted) parts.log.error({ err: error, runId: request.caller.runId }, 'a provider broke');
    return {
      response: errorAnswer({ status: 500, message: 'Nightshift could not pass the request on; its log says why.' }),
      overBudget: false,
    };
  }
}

const nobodyAsked = (): { readonly response: Response; readonly served: null; readonly lost: false } => ({
  response: leftUnasked(),
  served: null,
  lost: false,
});

/** As it came, but for what the money does not reach to. */
const paidFor = (request: ModelRequest, paid: Paid | undefined): ModelRequest => (paid ? keptShort(request, paid.outputTokens) : request);

/** Made apart from the call, which lives as long as its answer, whereas the request shall not. */
const triesOf = ({ log }: CallParts, request: ModelRequest, paid: Paid | undefined): Tries => ({
  failed(tried) {
    const { caller, ...failed } = tried;
    log.warn({ runId: caller.runId, ...failed }, 'a model call failed and goes on elsewhere or later');
    paid?.tried(tried);
  },
  async again(signal) {
    return (await paid?.payAgain(signal)) ?? paidFor(request, paid);
  },
});

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
  answered(status: number, by: Pick<ModelCall, 'served' | 'lost'>): void;
  end(end: ModelCall['end'], observed?: Observed): void;
}

function beginCall(
  { clock, log, onUsage }: CallParts,
  { caller, endpoint, message: { model: asked } }: ModelRequest,
  began: number,
  paid: Paid | undefined,
): Call {
  let status: number | null = null;
  let answer: Pick<ModelCall, 'served' | 'lost'> = { served: null, lost: false };
  let firstByteMs: number | null = null;
  let reported = endpoint !== 'messages'; // the other two cost nothing
  return {
    answered(answeredWith, by) {
      status = answeredWith;
      answer = by;
      firstByteMs = clock.monotonic() - began;
    },
    end(end, observed) {
      if (reported) return;
      reported = true;
      const model = observed?.model ?? answer.served?.model ?? (typeof asked === 'string' ? asked : null);
      const usage = observed?.usage ?? null;
      const latencyMs = clock.monotonic() - began;
      const call = { caller, ...answer, model, usage, observed: observed ?? null, end, status, firstByteMs, latencyMs };
      try {
        paid?.settle(call);
        onUsage(call);
      } catch (error) {
        log.error({ err: error, runId: caller.runId }, 'a model call could not be recorded');
      }
    },
  };
}
