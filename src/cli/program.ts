import { Command, CommanderError } from 'commander';
import { Unusable } from '../domain/errors.ts';
import { isHostFault } from '../platform/subprocess.ts';
import { type Exit, exitMeanings, exits, Failure } from './failure.ts';
import { block, toJson } from './legible.ts';
import type { Define, Session } from './session.ts';
import { createScreen, type Terminal } from './terminal.ts';
import { version } from './version.ts';

interface Entry {
  readonly name: string;
  readonly alias?: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly define: Define }>;
}

/** Every command there is, in the order of the help. A file is loaded when its command stands on the command line. */
const groups: Readonly<Record<string, readonly Entry[]>> = {
  'Server:': [
    { name: 'up', summary: 'start the server', load: () => import('./up.ts') },
    { name: 'demo', summary: 'watch an agent repair a sample repository; needs no key', load: () => import('./demo.ts') },
    { name: 'doctor', alias: 'healthcheck', summary: 'check that everything the server needs is there', load: () => import('./doctor.ts') },
    { name: 'backup', summary: 'make a backup while the server works, or list those there are', load: () => import('./backup.ts') },
    { name: 'restore', summary: 'put a backup into an empty home', load: () => import('./restore.ts') },
    { name: 'config', summary: 'show the settings and where each comes from', load: () => import('./config.ts') },
    { name: 'token', summary: "print the owner's API key; make, list, rotate and revoke others", load: () => import('./token.ts') },
    { name: 'audit', summary: 'show who changed what, and who was refused', load: () => import('./audit.ts') },
  ],
  'Tasks:': [
    { name: 'new', summary: 'submit a task', load: () => import('./new.ts') },
    { name: 'run', summary: 'submit a task or a command, and follow it to its end', load: () => import('./run.ts') },
    { name: 'tasks', summary: 'list tasks, newest first', load: () => import('./tasks.ts') },
    { name: 'show', summary: 'tell all about a task or a run', load: () => import('./show.ts') },
    { name: 'logs', summary: 'print what a task or a run wrote', load: () => import('./logs.ts') },
    { name: 'approve', summary: 'let tasks go that await approval', load: () => import('./approve.ts') },
    { name: 'deny', summary: 'refuse tasks that await approval', load: () => import('./deny.ts') },
    { name: 'cancel', summary: 'call tasks off', load: () => import('./cancel.ts') },
    { name: 'retry', summary: 'put ended tasks back in line', load: () => import('./retry.ts') },
    { name: 'resolve', summary: 'say how a task goes on that needs a person', load: () => import('./resolve.ts') },
    { name: 'checkpoints', summary: 'list the points that a run can go back to', load: () => import('./checkpoints.ts') },
    { name: 'rewind', summary: 'put the files of a run back to a checkpoint', load: () => import('./rewind.ts') },
    { name: 'priority', summary: "change a waiting task's priority", load: () => import('./priority.ts') },
  ],
  'Queue and money:': [
    { name: 'monitor', summary: 'watch all that goes on, live', load: () => import('./monitor.ts') },
    { name: 'status', summary: 'show what waits and who works', load: () => import('./status.ts') },
    { name: 'pause', summary: 'start nothing more; what runs goes on', load: () => import('./pause.ts') },
    { name: 'resume', summary: 'start work again', load: () => import('./resume.ts') },
    { name: 'budget', summary: 'show the budgets, or set one', load: () => import('./budget.ts') },
    { name: 'usage', summary: 'show what model calls came to', load: () => import('./usage.ts') },
    { name: 'trends', summary: 'show how tasks ended over time, and what gates said', load: () => import('./trends.ts') },
  ],
  'Mail:': [
    { name: 'inbox', summary: 'what arrived, and what became of it', load: () => import('./inbox.ts') },
    { name: 'outbox', summary: 'what is to be sent, and what could not be', load: () => import('./outbox.ts') },
    { name: 'alerts', summary: 'show what is wrong, or silence an alert for a while', load: () => import('./alerts.ts') },
    { name: 'channels', summary: 'list the ways alerts go out, or test one', load: () => import('./channels.ts') },
  ],
  'Set-up:': [
    { name: 'profiles', summary: 'list, show, make, change and delete profiles of agents', load: () => import('./profiles.ts') },
    { name: 'notes', summary: 'search, add, change and delete what is remembered', load: () => import('./notes.ts') },
    { name: 'workspaces', summary: 'list and remove the workspaces of runs', load: () => import('./workspaces.ts') },
    { name: 'mcp', summary: 'let an editor or another agent use Nightshift (Model Context Protocol)', load: () => import('./mcp.ts') },
    { name: 'completion', summary: 'print a completion script for bash, zsh or fish', load: () => import('./completion.ts') },
  ],
};

/** One call of the command line, from its arguments to its exit code. Never throws. */
export async function nightshift(argv: readonly string[], terminal: Terminal): Promise<Exit> {
  let code: Exit = exits.ok;
  const { own, rest } = partAtDashes(argv);
  const session: Session = {
    terminal,
    screen: createScreen(terminal),
    rest,
    end(exit) {
      code = exit;
    },
    tree: () => createProgram(session, 'all'),
  };
  try {
    if (own.length === 0) throw new Failure(exits.usage, 'no-command', (await createProgram(session, [])).helpInformation());
    await (await createProgram(session, own)).parseAsync(own, { from: 'user' });
  } catch (error) {
    code = report(error, terminal, own.includes('--json'));
  }
  return code;
}

/** `run` takes a command after `--`; for the others it only ends the options. */
function partAtDashes(argv: readonly string[]): { readonly own: readonly string[]; readonly rest: readonly string[] } {
  const dashes = argv.indexOf('--');
  const isRun = argv.find((each) => !each.startsWith('-')) === 'run';
  return dashes < 0 || !isRun ? { own: argv, rest: [] } : { own: argv.slice(0, dashes), rest: argv.slice(dashes + 1) };
}

/** The tree of commands. `words` are those of the command line; `all` loads every command's file. */
async function createProgram(session: Session, words: readonly string[] | 'all'): Promise<Command> {
  const { stdout } = session.terminal;
  const program = new Command('nightshift')
    .description('Nightshift keeps coding agents at work around the clock. This is its command line.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this, or the help of a command')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      // What went wrong is told in one place, below.
      writeErr: () => undefined,
      getOutHelpWidth: () => Math.min(stdout.columns || 100, 120),
      getErrHelpWidth: () => Math.min(stdout.columns || 100, 120),
    })
    .addHelpText('after', closing());
  for (const [group, entries] of Object.entries(groups)) {
    program.commandsGroup(group);
    for (const { name, alias, summary, load } of entries) {
      const command = program
        .command(name)
        .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`)
        .summary(summary);
      if (alias !== undefined) command.alias(alias);
      if (words === 'all' || words.includes(name) || words.includes(alias ?? name)) (await load()).define(command, session);
    }
  }
  return program.helpCommand('help [command]', 'show the help of a command');
}

const closing = (): string => `
Examples:
  $ nightshift demo                        see it work, without a key
  $ nightshift up                          start the server
  $ nightshift run -- npm test             run a command as a task, and watch it
  $ nightshift new "Fix the login test"    submit a task
  $ nightshift logs -f tsk_…               follow a task

Environment:
  NIGHTSHIFT_HOME    where the server keeps its data (~/.nightshift)
  NIGHTSHIFT_URL     address of the server, when it is elsewhere
  NIGHTSHIFT_TOKEN   the API key, when it is not in the home
  NO_COLOR           print without colours

Exit codes:
${exitMeanings.map(([exit, meaning]) => `  ${String(exit).padEnd(5)}${meaning}`).join('\n')}`;

function report(error: unknown, terminal: Terminal, json: boolean): Exit {
  if (error instanceof CommanderError && error.exitCode === 0) return exits.ok;
  const failure = failureOf(error);
  const { exit, code, message, details } = failure;
  if (json) terminal.stderr.write(`${toJson({ error: { code, message, exit, ...details } })}\n`);
  else terminal.stderr.write(`${code === 'no-command' ? '' : 'nightshift: '}${block(message).trimEnd()}\n`);
  return exit;
}

function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof Unusable) return new Failure(error.code === 'home-taken' ? exits.failed : exits.usage, error.code, error.message);
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: /, '');
    return new Failure(exits.usage, 'bad-usage', `${message}\nSee \`nightshift --help\`.`);
  }
  if (isHostFault(error)) return new Failure(exits.failed, 'machine-unfit', `this machine does not let it: ${(error as Error).message}.`);
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new Failure(exits.failed, 'internal', `this is a defect in Nightshift:\n${stack}`);
}
