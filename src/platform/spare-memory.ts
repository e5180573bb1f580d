import { performance } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Cancel, Clock } from './clock.ts';

/** What V8 keeps of the young memory of a busy time, in bytes. */
export const youngMemory = (): number => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0;

const lookEveryMs = 5_000;
/** A collection of everything holds the process for a tenth of a second, which is not to happen often. */
const againAfterMs = 5 * 60_000;
const worthGivingBack = 4 * 2 ** 20;
const restingBelow = 0.1;

/**
 * Young memory grows with the load, to 64 MB while modules load, and V8 hardly ever gives it back by itself. A bound for it
 * (`--max-semi-space-size`) makes work dearer by up to a half; so it may grow, and is given back when the process is at rest.
 */
export function giveBackAtRest(clock: Clock, shareBusy: () => number = shareBusySinceLastAsked()): Cancel {
  let collect: (() => void) | undefined;
  let cancel: Cancel = () => undefined;
  const look = (): void => {
    const due = shareBusy() < restingBelow && youngMemory() > worthGivingBack;
    if (due) {
      collect ??= collector();
      collect();
    }
    cancel = clock.after(due ? againAfterMs : lookEveryMs, look);
  };
  cancel = clock.after(lookEveryMs, look);
  return () => cancel();
}

function shareBusySinceLastAsked(): () => number {
  let before = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  };
}

/** A server is not started with `--expose-gc`, and need not be: a context made while the flag is set knows the function. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (options: { type: 'major'; flavor: 'last-resort' }) => void;
  setFlagsFromString('--no-expose-gc');
  // Any other flavor leaves young memory as large as it is.
  return () => gc({ type: 'major', flavor: 'last-resort' });
}
