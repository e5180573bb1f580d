import { type Clock, wait } from '../platform/clock.ts';
import { gather } from '../platform/gather.ts';
import { type RunningCommand, sweep } from '../platform/subprocess.ts';

/** In the environment of everything a run starts, so that it can be found again. */
export const runMarker = 'NIGHTSHIFT_RUN_ID';

/** In the environment of all that one call of a hook starts, after the run's id: hooks outlive an agent, and clear away behind themselves. */
export const hookMarker = 'NIGHTSHIFT_HOOK';

/** Kills whatever a run started and left behind. Runs that end together share the look through the process table. */
export const sweepRun: (runId: string) => Promise<number> = gather(async (runIds: readonly string[]) => {
  const variables = new Set(runIds.map((id) => `${runMarker}=${id}`));
  const hooks = runIds.map((id) => `${hookMarker}=${id}/`);
  const killed = await sweep(
    (variable) => variables.has(variable),
    (variable) => hooks.some((hook) => variable.startsWith(hook)),
  );
  return runIds.map(() => killed);
});

/**
 * After a program has ended: kills by `clear` what it left behind, for as long as something holds its outputs open. A daemon
 * that kept them would otherwise make the reader wait for ever. One that even hides from the sweep is cut off when the run
 * is stopped.
 */
export async function clearAway(command: RunningCommand, clear: () => Promise<unknown>, clock: Clock, signal: AbortSignal): Promise<void> {
  await command.exit;
  for (let pauseMs = 20; !command.outputEnded(); pauseMs = Math.min(1_000, pauseMs * 2)) {
    await clear();
    if (signal.aborted) return command.cutOutput();
    await wait(clock, pauseMs, signal);
  }
}
