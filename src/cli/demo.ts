import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../config/config.ts';
import { prepareHome } from '../home.ts';
import { checkSandbox, makeSampleRepository, sampleRepository, startServer } from '../main.ts';
import { createLog, rotatingFile } from '../platform/log.ts';
import type { Run, Task } from './api.ts';
import { connect } from './connect.ts';
import { exits, Failure } from './failure.ts';
import { block, oneLine } from './legible.ts';
import { outcomeFields } from './outcome.ts';
import { printPatch } from './patch.ts';
import { type Define, examples, type JsonFlag, jsonFlag, type Session } from './session.ts';
import { createScreen, type Terminal } from './terminal.ts';
import { narrate } from './watch.ts';
import { duration, styleOf } from './wording.ts';

interface Flags extends JsonFlag {
  readonly keep?: true;
}

export const define: Define = (command, session) => {
  examples(
    jsonFlag(command).option('--keep', 'keep the folder with the repository and the home of the server'),
    'nightshift demo',
    'nightshift demo --json | jq .outcome',
  )
    .addHelpText(
      'after',
      `
A server of its own lets an agent repair a sample repository in a temporary folder. The agent, its tools, the sandbox and
git are real; the model is a script (docs/rehearsal.md). It needs no key and no network, and heeds no settings of yours.
Exits with 0 when the task has succeeded.`,
    )
    .action((flags: Flags) => demo(session, flags));
};

/** Longer than any machine should need; what hangs is to end by itself. */
const limitMs = 180_000;
type Cause = 'interrupted' | 'too-slow';

async function demo(session: Session, flags: Flags): Promise<void> {
  const { terminal, screen } = session;
  const stopped = new AbortController();
  const stop = (cause: Cause): void => stopped.abort(cause);
  const interrupted = (): void => stop('interrupted');
  const release = terminal.onInterrupt(interrupted);
  for (const signal of endings) process.on(signal, interrupted);
  const cancelLimit = terminal.clock.after(limitMs, () => stop('too-slow'));
  const folder = makeFolder();
  const clean = (): void => (flags.keep ? undefined : remove(folder));
  // A reader that goes away, as `head` does, ends the program at once.
  process.on('exit', clean);
  try {
    await perform(session, flags, folder, stopped.signal);
    if (stopped.signal.aborted) end(session, stopped.signal.reason as Cause);
  } finally {
    clean();
    process.off('exit', clean);
    if (flags.keep) screen.remark(`Kept: ${folder} (the repository, and the home of the server with its log)`);
    cancelLimit();
    for (const signal of endings) process.off(signal, interrupted);
    release();
  }
}

/** A service manager, `timeout` or a closed terminal ends it as Ctrl-C does: with everything cleaned up. */
const endings = ['SIGTERM', 'SIGHUP'] as const;

function end(session: Session, cause: Cause): void {
  if (cause === 'too-slow')
    throw new Failure(exits.failed, 'too-slow', `The demo was not over after ${limitMs / 1_000} s and was stopped.`);
  session.screen.remark('Stopped.');
  session.end(exits.interrupted);
}

/** The home holds sockets, whose paths may not be long; a long TMPDIR gives way to /tmp. */
function makeFolder(): string {
  const longest = 60;
  const parents = [tmpdir(), '/tmp'].map((each) => (existsSync(each) ? realpathSync(each) : each));
  return mkdtempSync(join(parents.find((each) => Buffer.byteLength(each) <= longest) ?? tmpdir(), 'nightshift-demo-'));
}

const remove = (folder: string): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });

async function perform(session: Session, flags: Flags, folder: string, signal: AbortSignal): Promise<void> {
  const { terminal } = session;
  const begun = terminal.clock.monotonic();
  const repository = join(folder, 'rota');
  const home = join(folder, 'home');
  const audience = audienceOf(session, flags, home, folder);
  audience.screen.remark('A repository whose test fails, an agent that repairs it, and a model that follows a script: no key, no network.');
  await makeRepository(repository, folder, terminal, signal);
  await tellWhatIsMissing(audience);
  if (signal.aborted) return;

  const { config } = loadConfig({
    env: {},
    flags: { home, host: '127.0.0.1', port: '0', llmProvider: 'rehearsal', runTimeoutSeconds: '120' },
    cwd: folder,
  });
  prepareHome(home);
  const log = createLog('info', [rotatingFile(join(home, 'logs', 'nightshift.log'), () => terminal.clock.now())]);
  const server = await startServer(config, log);
  try {
    const client = connect({ url: server.address }, audience);
    const { body: task } = await client.send<Task>('POST', '/api/tasks', { title: 'Fix the failing test', repository });
    audience.screen.remark(`${audience.screen.paintRemark('bold', task.id)}  ${oneLine(task.title)}\n`);
    const end = await narrate(audience, { url: server.address }, { kind: 'task', id: task.id }, signal, 'without-outcome');
    if (end === undefined || end === 'over') return;
    const run = await client.get<Run>(`/api/runs/${end.runs.at(-1)?.id}`);
    const result = { task: end, run, durationMs: Math.round(terminal.clock.monotonic() - begun) };
    if (flags.json) session.screen.json(documentOf(result));
    else show(session, flags, result);
    if (end.status !== 'succeeded') session.end(exits.failed);
  } finally {
    // What still runs here is of no use to anybody any more.
    await server.stop(AbortSignal.abort());
  }
}

/** Who is told the story: nobody when a program reads. Finds the demo's server, and no other setting. */
function audienceOf(session: Session, { json }: Flags, home: string, cwd: string): Session {
  const { env, stdout, stderr } = session.terminal;
  const terminal: Terminal = {
    ...session.terminal,
    stdout: json ? silent : stdout,
    stderr: json ? silent : stderr,
    env: { NIGHTSHIFT_HOME: home, NO_COLOR: env['NO_COLOR'], TERM: env['TERM'] },
    cwd,
  };
  return { ...session, terminal, screen: createScreen(terminal) };
}

const silent = { write: () => undefined };

async function makeRepository(repository: string, home: string, { env, clock }: Terminal, signal: AbortSignal): Promise<void> {
  const around = { clock, path: env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin', home };
  const made = await makeSampleRepository(sampleRepository, repository, around, signal);
  if (!made.ok && !signal.aborted) throw new Failure(exits.failed, made.code, block(made.message));
}

async function tellWhatIsMissing({ screen }: Session): Promise<void> {
  const { verdict, found, remedy, standing } = await checkSandbox('auto');
  if (verdict === 'ok') return;
  screen.remark(screen.paintRemark('yellow', `Missing here: ${oneLine(found)}`));
  for (const cost of [...standing.doesNotHold, ...standing.costs]) screen.remark(`  ${oneLine(cost)}`);
  if (remedy !== undefined) screen.remark(`  → ${oneLine(remedy)}`);
}

interface Result {
  readonly task: Task;
  readonly run: Run;
  readonly durationMs: number;
}

const documentOf = ({ task, run, durationMs }: Result): object => ({
  outcome: task.status,
  taskId: task.id,
  runId: run.id,
  branch: run.branch,
  commits: run.commits,
  filesChanged: run.filesChanged,
  testsPassed: run.tests?.passed ?? false,
  durationMs,
});

function show(session: Session, { keep }: Flags, { task, run, durationMs }: Result): void {
  const { screen } = session;
  screen.line();
  printPatch(session, run);
  screen.line();
  const shown = { ...run, delivery: keep ? run.delivery : null };
  for (const [name, value] of outcomeFields(shown, screen.paint)) {
    if (value) screen.line(`  ${screen.paint('dim', name.padEnd(9))} ${value}`);
  }
  const why = task.reason === null ? '' : `: ${oneLine(task.reason.message)}`;
  screen.line(`\n${screen.paint(styleOf(task.status), `The task ${task.status}`)} after ${duration(durationMs)}${why}`);
  if (task.status === 'succeeded') {
    screen.line(
      'The costs are made up, for no model was asked. Next: `nightshift up` with LLM_API_KEY, and `nightshift run` on a repository.',
    );
  }
}
