import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from '../../src/domain/outcome.ts';
import type { Task } from '../../src/domain/task.ts';
import { createCredentials } from '../../src/gateway/credentials.ts';
import { createGateway, type ModelCall } from '../../src/gateway/messages.ts';
import type { ModelRequest, Provider } from '../../src/gateway/providers/provider.ts';
import { rehearsalProvider } from '../../src/gateway/providers/rehearsal.ts';
import { parseScript } from '../../src/gateway/rehearsal/script.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLog } from '../../src/platform/log.ts';
import type { ConversationRequest, Engine, EngineEvent, EngineRequest } from '../../src/runner/engines/engine.ts';
import { callerOf } from './callers.ts';
import { onlyProvider } from './only-provider.ts';
import { processesWith } from './server-process.ts';

export interface Performance {
  readonly events: readonly EngineEvent[];
  readonly outcome: Outcome | undefined;
  readonly milliseconds: number;
}

export interface Rehearsed {
  readonly runId: string;
  readonly request: EngineRequest;
  /** Of the program that the engine started last. */
  readonly child: () => ChildProcessWithoutNullStreams | undefined;
  readonly asked: readonly ModelRequest[];
  readonly calls: readonly ModelCall[];
}

/** A workspace, a model behind Nightshift's own endpoint, and a run that may use both. */
export async function rehearse(
  undo: (() => unknown)[],
  model: object | Provider,
  conversation: Partial<ConversationRequest> = {},
  task: Partial<Task> = {},
): Promise<Rehearsed> {
  const home = mkdtempSync(join(tmpdir(), 'nightshift-stage-'));
  undo.push(() => rmSync(home, { recursive: true, force: true }));
  const directory = join(home, 'work');
  mkdirSync(directory);
  const runId = `run_${home.slice(-6)}`;
  const provider =
    'answer' in model
      ? (model as Provider)
      : rehearsalProvider([parseScript(JSON.stringify({ name: 'test', ...model }), 'test')], systemClock);
  const asked: ModelRequest[] = [];
  const calls: ModelCall[] = [];
  const credentials = createCredentials(systemClock);
  const gateway = createGateway({
    models: onlyProvider({
      name: provider.name,
      answer(request, signal) {
        asked.push(request);
        return provider.answer(request, signal);
      },
    }),
    credentials,
    clock: systemClock,
    log: silentLog,
    onUsage: (call) => void calls.push(call),
  });
  const socket = join(home, 'model.sock');
  const door = await gateway.listen(socket, runId);
  undo.push(() => door.close());
  let child: ChildProcessWithoutNullStreams | undefined;
  return {
    runId,
    asked,
    calls,
    child: () => child,
    request: {
      task: { title: 'Do what the script says', body: null, ...task } as Task,
      runId,
      directory,
      env: { PATH: process.env['PATH'] ?? '', HOME: home, LANG: 'C.UTF-8', NIGHTSHIFT_RUN_ID: runId },
      spawn({ argv: [program = '', ...args], cwd, env }) {
        child = spawn(program, args, { cwd, env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
        return child;
      },
      conversation: {
        model: { baseUrl: 'http://localhost', socket, credential: credentials.issue(callerOf(runId)), name: 'claude-sonnet-4-5' },
        sessionDirectory: join(home, 'session'),
        modelRetries: 0,
        ...conversation,
      },
    },
  };
}

/** Runs an engine to its end. `on` sees each event as it comes, and may interfere. */
export async function perform(
  engine: Engine,
  request: EngineRequest,
  signal: AbortSignal = new AbortController().signal,
  on: (event: EngineEvent) => void = () => undefined,
): Promise<Performance> {
  const began = performance.now();
  const events: EngineEvent[] = [];
  for await (const event of engine.run(request, signal)) {
    events.push(event);
    on(event);
  }
  const outcomes = events.flatMap((event) => (event.type === 'outcome' ? [event.outcome] : []));
  return { events, outcome: outcomes[0], milliseconds: performance.now() - began };
}

export const processesOf = (runId: string): readonly number[] => processesWith(`NIGHTSHIFT_RUN_ID=${runId}`);
