import { hostUnfit } from '../domain/outcome.ts';
import type { CommandEnd, GateCommand } from '../gates/gate.ts';
import type { Clock } from '../platform/clock.ts';
import { start } from '../platform/subprocess.ts';
import { clearAway, sweepRun } from './clear-away.ts';
import { merged } from './merged.ts';
import type { Place } from './place.ts';
import type { Recorder } from './recorder.ts';

export interface Checking {
  readonly clock: Clock;
  readonly place: Place;
  readonly runId: string;
  readonly record: (event: Extract<Parameters<Recorder['record']>[0], { type: 'run.output' }>) => Promise<void>;
}

const keptCharacters = 100_000;

/** Runs a gate's command in the run's place, as the agent could have; whatever it leaves behind is ended with it. */
export async function runCheck({ clock, place, runId, record }: Checking, command: GateCommand, signal: AbortSignal): Promise<CommandEnd> {
  const { argv, timeoutMs } = command;
  const wrapped = place.wrap({ argv, cwd: place.directory, env: place.env });
  if (!wrapped.ok) return { kind: 'not-run', outcome: wrapped.outcome };
  const cut = new AbortController();
  const cancelTimeout = clock.after(timeoutMs, () => cut.abort('timeout'));
  const until = AbortSignal.any([signal, cut.signal]);
  const running = start(wrapped.command, clock, until);
  const cleared = clearAway(running, () => sweepRun(runId), clock, until);
  cleared.catch(() => undefined); // heard below, unless the reading fails first
  let output = '';
  try {
    for await (const data of merged(running)) {
      output = (output + data.text).slice(-keptCharacters);
      await record({ type: 'run.output', data });
    }
    await cleared;
  } finally {
    cancelTimeout();
    cut.abort('over');
    await sweepRun(runId);
  }
  const ended = await running.exit;
  const timedOut = cut.signal.reason === 'timeout';
  if (ended.kind !== 'not-started') return { kind: 'ended', exitCode: ended.kind === 'exited' ? ended.code : null, timedOut, output };
  const message = `The check ${argv[0]} could not be started: ${ended.message}.`;
  return ended.host ? { kind: 'not-run', outcome: hostUnfit(message) } : { kind: 'not-started', message };
}
