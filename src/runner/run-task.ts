import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { backoffMs } from '../domain/backoff.ts';
import { failed, type Outcome } from '../domain/outcome.ts';
import { type Clock, wait } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { start } from '../platform/subprocess.ts';
import type { StopCause } from '../queue/dispatcher.ts';
import type { Claim, Queue } from '../queue/queue.ts';
import type { Store } from '../store/store.ts';
import { clearAway, runMarker, sweepRun } from './clear-away.ts';
import type { Engine } from './engines/engine.ts';
import { merged } from './merged.ts';
import { openRecorder, type Recorder } from './recorder.ts';

export interface RunnerParts {
  readonly queue: Queue;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly engines: ReadonlyMap<string, Engine>;
  /** Each run gets a directory of its own below this one. */
  readonly runsDirectory: string;
  /** In the environment of everything a run starts, so that it can be found again. */
  readonly nodeMarker: Readonly<Record<string, string>>;
  readonly path: string;
  readonly timeoutMs: number;
}

/** One attempt, from a claim to its settlement: prepare, run, verify, settle. Never throws. */
export async function runTask(parts: RunnerParts, claim: Claim, stop: AbortSignal): Promise<void> {
  const { task, run } = claim;
  const log = parts.log.child({ taskId: task.id, runId: run.id });
  log.info({ attempt: run.attempt, engine: run.engine }, 'run started');

  const outcome = await attempt(parts, claim, stop).catch((error: unknown): Outcome => {
    log.error({ err: error }, 'the run broke');
    return failed('internal', error instanceof Error ? error.message : String(error), true);
  });
  await sweepRun(run.id).catch((error: unknown) => log.error({ err: error }, 'could not look for leftover processes'));

  const settlement = await settle(parts, claim, outcome, stop, log);
  log.info({ outcome: outcome.kind, settlement, ...('reason' in outcome ? { code: outcome.reason.code } : {}) }, 'run finished');
}

async function attempt(parts: RunnerParts, claim: Claim, stop: AbortSignal): Promise<Outcome> {
  const { task, run } = claim;
  const engine = run.engine === null ? undefined : parts.engines.get(run.engine);
  if (!engine) return { kind: 'needs-human', reason: noEngine(run.engine, [...parts.engines.keys()]) };

  const directory = join(parts.runsDirectory, run.id, 'work');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const env = environment(parts, claim, directory);
  const timeout = new AbortController();
  const cancelTimeout = parts.clock.after(parts.timeoutMs, () => timeout.abort('timeout'));
  const signal = AbortSignal.any([stop, timeout.signal]);
  const recorder = openRecorder(parts.store, parts.clock, join(parts.runsDirectory, run.id, 'output.log'), signal);
  try {
    const outcome = await execute(engine, { task, runId: run.id, directory, env }, recorder, signal);
    if (signal.aborted) return whyStopped(signal.reason, parts.timeoutMs);
    if (outcome.kind !== 'succeeded' || task.verify === null) return outcome;
    const verdict = await verify(parts, task.verify, claim, directory, env, recorder, signal);
    return signal.aborted ? whyStopped(signal.reason, parts.timeoutMs) : (verdict ?? outcome);
  } catch (error) {
    if (signal.aborted) return whyStopped(signal.reason, parts.timeoutMs);
    throw error;
  } finally {
    cancelTimeout();
    await recorder.close();
  }
}

async function execute(engine: Engine, request: Parameters<Engine['run']>[0], recorder: Recorder, signal: AbortSignal): Promise<Outcome> {
  const ids = { taskId: request.task.id, runId: request.runId };
  for await (const event of engine.run(request, signal)) {
    if (event.type === 'outcome') return event.outcome;
    await recorder.record({ ...event, ...ids });
  }
  return failed('no-outcome', `The ${engine.name} engine ended without saying how.`);
}

/** Runs the task's own check. A red one makes the run a failure, whatever the engine said. */
async function verify(
  parts: RunnerParts,
  argv: readonly string[],
  { task, run }: Claim,
  cwd: string,
  env: Readonly<Record<string, string>>,
  recorder: Recorder,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  const ids = { taskId: task.id, runId: run.id };
  const command = start({ argv, cwd, env }, parts.clock, signal);
  const cleared = clearAway(command, run.id, parts.clock, signal);
  for await (const data of merged(command)) await recorder.record({ type: 'run.output', data, ...ids });
  await cleared;
  const ended = await command.exit;
  const passed = ended.kind === 'exited' && ended.code === 0;
  const exitCode = ended.kind === 'exited' ? ended.code : null;
  if (!signal.aborted) await recorder.record({ type: 'run.verified', data: { command: argv, passed, exitCode }, ...ids });
  if (passed) return undefined;
  if (ended.kind === 'not-started') return failed('verify-not-started', `The check ${argv[0]} could not be started: ${ended.message}.`);
  return failed('verify-failed', `The check ${argv.join(' ')} ${exitCode === null ? 'was killed' : `exited with ${exitCode}`}.`, true);
}

function whyStopped(reason: StopCause | 'timeout', timeoutMs: number): Outcome {
  switch (reason) {
    case 'called-off':
      return { kind: 'cancelled' };
    case 'timeout':
      return failed('timeout', `The run took longer than ${Math.round(timeoutMs / 1_000)} seconds and was stopped.`, true);
    case 'draining':
    case 'lease-lost':
      return {
        kind: 'released',
        reason: { code: reason, message: 'The server stopped before the run was finished; it goes back in line.' },
      };
  }
}

/**
 * What ran must be settled, so this waits for the store as long as it takes; the fence makes a repetition harmless.
 * Only a server that is told to stop gives up: its next start, or another node, takes the run for lost and does it again.
 */
async function settle({ queue, clock }: RunnerParts, { task, run }: Claim, outcome: Outcome, stop: AbortSignal, log: Log): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await queue.settle({ taskId: task.id, runId: run.id, outcome });
    } catch (error) {
      const stopping = stop.aborted && stop.reason !== ('called-off' satisfies StopCause);
      if (stopping) {
        log.error({ err: error, attempt }, 'could not store how the run ended; it will be done again');
        return 'given-up';
      }
      log.warn({ err: error, attempt }, 'could not store how the run ended; trying again');
      await wait(clock, backoffMs(attempt, 0.5, { baseMs: 200, capMs: 10_000 }), stop.aborted ? undefined : stop);
    }
  }
}

function environment(parts: RunnerParts, { task, run }: Claim, directory: string): Readonly<Record<string, string>> {
  return {
    PATH: parts.path,
    HOME: directory,
    LANG: 'C.UTF-8',
    NIGHTSHIFT_TASK_ID: task.id,
    [runMarker]: run.id,
    ...parts.nodeMarker,
  };
}

function noEngine(wanted: string | null, known: readonly string[]): { code: string; message: string } {
  return wanted === null
    ? {
        code: 'no-engine',
        message: `No engine is configured for tasks that do not name one. Set NIGHTSHIFT_ENGINE (known here: ${known.join(', ')}), then retry.`,
      }
    : { code: 'no-engine', message: `This server has no engine named ${wanted} (known here: ${known.join(', ')}).` };
}
