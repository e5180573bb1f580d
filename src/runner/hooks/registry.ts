import { type HookPoint, type HookVerdict, mayRefuse, type RunPoint } from '../../domain/hook.ts';
import { type Clock, wait } from '../../platform/clock.ts';
import { type FactsAt, type Hook, type HookFacts, Unasked } from './hook.ts';

/** How one hook took it. */
export interface Heard {
  readonly id: string;
  readonly verdict: HookVerdict;
  readonly durationMs: number;
  readonly message?: string;
  /** What a tool is to get instead of the input that was asked for. */
  readonly input?: Readonly<Record<string, unknown>>;
  /** Only when it was not: this machine was short of something. */
  readonly asked?: false;
}

export interface Hooks {
  /** One with the same id is replaced and keeps its place. */
  register<P extends HookPoint>(hook: Hook<P>): void;
  /** An id that nobody has is no error. */
  unregister(id: string): void;
  /**
   * Calls the hooks of the facts' point one after the other, in the order in which they were registered, until the signal
   * aborts. Before a run, the first that does not pass ends it and comes back; at any other point all are called and
   * nothing comes back. What a hook throws is its verdict; only what `tell` throws is thrown.
   */
  fire(facts: FactsAt<RunPoint>, tell: (heard: Heard) => Promise<void>, signal: AbortSignal): Promise<Heard | undefined>;
  /** Those of one point, in the order in which they were registered. */
  at(point: HookPoint): readonly Hook[];
  /** Calls one of them. Never rejects: what it throws is its verdict. */
  call(hook: Hook, facts: HookFacts, signal: AbortSignal): Promise<Heard>;
}

/** How long a hook that was stopped may take to end before it is left behind. A command is killed before that. */
const patienceMs = 2_000;
const longestMessage = 2_000;

export function createHooks(clock: Clock): Hooks {
  const hooks = new Map<string, Hook>();
  const at = (point: HookPoint): readonly Hook[] => [...hooks.values()].filter(({ on }) => on === point);
  return {
    register: (hook) => void hooks.set(hook.id, hook as unknown as Hook),
    unregister: (id) => void hooks.delete(id),
    at,
    call: (hook, facts, signal) => call(hook, facts, clock, signal),
    async fire(facts, tell, signal) {
      for (const hook of at(facts.point)) {
        if (signal.aborted) return undefined;
        const heard = await call(hook, facts, clock, signal);
        await tell(heard);
        if (facts.point === 'pre-run' && heard.verdict !== 'passed') return heard;
      }
      return undefined;
    },
  };
}

type Judged = Pick<Heard, 'verdict' | 'message' | 'asked' | 'input'>;

async function call(hook: Hook, facts: HookFacts, clock: Clock, signal: AbortSignal): Promise<Heard> {
  const began = clock.monotonic();
  const limit = new AbortController();
  const cancelLimit = clock.after(hook.timeoutMs, () => signal.aborted || limit.abort());
  const until = AbortSignal.any([signal, limit.signal]);
  const over = new AbortController();
  // A copy for each, so that none can change what the next one is told.
  const judged = (async () => judge(hook, await hook.run(structuredClone(facts), until)))().catch(
    (error: unknown): Judged => ({
      verdict: 'failed',
      message: error instanceof Error ? error.message : String(error),
      ...(error instanceof Unasked ? { asked: false } : {}),
    }),
  );
  const given = await Promise.race([judged, aborted(until).then(() => wait(clock, patienceMs, over.signal))]);
  cancelLimit();
  over.abort();
  const { verdict, message, asked, input } = stopped(hook, signal, limit.signal) ?? given ?? { verdict: 'failed' };
  return {
    id: hook.id,
    verdict,
    durationMs: Math.round(clock.monotonic() - began),
    ...(message === undefined || message.trim() === '' ? {} : { message: onOneLine(message) }),
    ...(asked === undefined ? {} : { asked }),
    ...(input === undefined ? {} : { input }),
  };
}

/** It becomes a task's reason, and neither people nor databases want more than that there. */
const onOneLine = (text: string): string =>
  text
    .replaceAll(/[\s\0]+/g, ' ')
    .trim()
    .slice(0, longestMessage)
    .toWellFormed();

function judge({ on }: Hook, answer: unknown): Judged {
  if (answer === undefined || answer === true) return { verdict: 'passed' };
  if (answer === false) return objection(on);
  const { allow, reason, input } = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<string, unknown>;
  const said = reason === undefined ? undefined : String(reason);
  if (input !== undefined && (on !== 'pre-tool' || !isRecord(input))) {
    return {
      verdict: 'failed',
      message: 'It answered with an input that is none: only before a tool may there be one, and it is an object.',
    };
  }
  if (allow === true) {
    return { verdict: 'passed', ...(said === undefined ? {} : { message: said }), ...(input === undefined ? {} : { input }) };
  }
  if (allow === false) return objection(on, said);
  return { verdict: 'failed', message: 'It answered neither true nor false nor {"allow": …}.' };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

const objection = (on: Hook['on'], message?: string): Judged => ({
  verdict: mayRefuse(on) ? 'refused' : 'failed',
  ...(message === undefined ? {} : { message }),
});

function stopped({ timeoutMs }: Hook, signal: AbortSignal, limit: AbortSignal): Judged | undefined {
  if (limit.aborted) return { verdict: 'timed-out', message: `It took longer than ${timeoutMs / 1_000} s and was stopped.` };
  return signal.aborted ? { verdict: 'failed', message: 'It was stopped with its run.' } : undefined;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
