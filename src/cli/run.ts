import type { QueueState, Task } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { exits, misused } from './failure.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { type TaskFlags, taskFlags, taskOf } from './task-flags.ts';
import { watch } from './watch.ts';

/** Submits a task and stays with it to its end. */
export const define: Define = (command, session) => {
  const described = command
    .usage('[options] [title] [-- command...]')
    .argument('[title]', 'what is wanted, in one line; a command after -- can do without');
  examples(
    clientFlags(taskFlags(described)),
    'nightshift run -- npm test',
    'nightshift run "Fix the failing build" --repository ~/src/shop --verify "npm test"',
    'nightshift run --json -- make lint | jq -r .type',
  ).addHelpText('after', '\nCtrl-C stops following; the task goes on.');
  command.action(async (title: string | undefined, flags: TaskFlags & ClientFlags) => {
    const client = connect(flags, session);
    const { status, body: task } = await client.send<Task>('POST', '/api/tasks', await wishOf(title, flags, session));
    if (!flags.json) introduce(session, task, status === 200);
    if (!flags.json && task.status === 'queued' && (await client.get<QueueState>('/api/queue')).paused) {
      session.screen.remark('The queue is paused, so nothing starts: `nightshift resume` lets work go on.');
    }
    const end = await watch(session, flags, { kind: 'task', id: task.id });
    if (end !== undefined && (end === 'over' || end.status !== 'succeeded')) session.end(exits.failed);
  });
};

async function wishOf(title: string | undefined, flags: TaskFlags & ClientFlags, session: Session): Promise<Record<string, unknown>> {
  const argv = session.rest;
  if (argv.length === 0) {
    if (title === undefined) throw misused('Say what to run: a title, or a command after --. See `nightshift run --help`.');
    return taskOf(title, flags, session);
  }
  if (flags.body !== undefined || flags.bodyFile !== undefined)
    throw misused('The command after -- is the body; leave --body and --body-file out.');
  const named = title ?? [...oneLine(argv.join(' '))].slice(0, 200).join('');
  return { engine: 'command', ...(await taskOf(named, flags, session)), body: JSON.stringify(argv) };
}

function introduce({ screen }: Session, task: Task, existing: boolean): void {
  screen.remark(`${screen.paintRemark('bold', task.id)}  ${oneLine(task.title)}`);
  if (existing) screen.remark('A task with this key is open already; following that one.');
}
