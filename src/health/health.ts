import { type Finding, failure } from '../domain/examination.ts';
import { type Clock, wait } from '../platform/clock.ts';
import { type Regular, regularly } from '../platform/regularly.ts';

/** A look at one thing that the server cannot do without, or that an owner would want to know of. */
export interface Check {
  readonly name: string;
  /** May reject and may hang: both are findings. */
  examine(signal: AbortSignal): Promise<Finding>;
}

interface Examination {
  readonly at: number;
  /** Nothing that must work does not; warnings do not count. */
  readonly healthy: boolean;
  readonly findings: readonly Finding[];
}

export interface Health {
  /** Null before the first. */
  readonly last: Examination | null;
  /** Looks at everything now; who asks while somebody looks gets what that comes to. */
  examine(): Promise<Examination>;
  /** From here on it looks by itself. */
  start(): void;
  stop(): Promise<void>;
}

interface HealthParts {
  readonly clock: Clock;
  readonly checks: readonly Check[];
}

/** How long one thing may take to be looked at. */
const limitMs = 15_000;

/** A look at everything, for whoever asks only once. */
export const examineOnce = (
  checks: readonly Check[],
  clock: Clock,
  signal: AbortSignal = new AbortController().signal,
): Promise<readonly Finding[]> => Promise.all(checks.map((check) => withinLimit(check, clock, signal)));

/** Looks by itself every so often once it is started; 0 is never. */
export function watchHealth(parts: HealthParts, everyMs: number): Health {
  const { clock, checks } = parts;
  const stopping = new AbortController();
  let last: Examination | null = null;
  let looking: Promise<Examination> | undefined;

  async function look(): Promise<Examination> {
    const findings = await examineOnce(checks, clock, stopping.signal);
    last = { at: clock.now(), healthy: findings.every(({ verdict }) => verdict !== 'failure'), findings };
    return last;
  }

  const examine = (): Promise<Examination> => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    return looking;
  };

  let scheduled: Regular | undefined;
  return {
    get last() {
      return last;
    },
    examine,
    start() {
      const work = async (): Promise<void> => void (await examine());
      if (everyMs > 0) scheduled = regularly(clock, everyMs, work, () => undefined);
    },
    async stop() {
      stopping.abort('stopping');
      await scheduled?.stop();
      await looking;
    },
  };
}

async function withinLimit({ name, examine }: Check, clock: Clock, stop: AbortSignal): Promise<Finding> {
  const over = new AbortController();
  const signal = AbortSignal.any([stop, over.signal]);
  const late = wait(clock, limitMs, signal).then(
    () => failure(name, `did not answer within ${limitMs / 1_000} s`, 'Look at the log, and whether the machine is overloaded.'),
    () => new Promise<never>(() => undefined),
  );
  const stopped = new Promise<Finding>((resolve) => {
    const told = (): void => resolve(failure(name, 'was not looked at: the server stops', 'Ask again when it is up.'));
    if (stop.aborted) told();
    else stop.addEventListener('abort', told, { once: true, signal: over.signal });
  });
  const looked = (async () => examine(signal))().catch((error: unknown) =>
    failure(name, error instanceof Error ? error.message : String(error), 'Look at the log.'),
  );
  try {
    return await Promise.race([looked, late, stopped]);
  } finally {
    over.abort('over');
  }
}
