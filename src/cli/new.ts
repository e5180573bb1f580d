import type { Task } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { oneLine } from './legible.ts';
import { type Define, examples } from './session.ts';
import { type TaskFlags, taskFlags, taskOf } from './task-flags.ts';
import { styleOf } from './wording.ts';

/** Submits a task. On a pipe only its id is printed, so that a script can hold on to it. */
export const define: Define = (command, session) => {
  examples(
    clientFlags(taskFlags(command.argument('<title>', 'what is wanted, in one line'))),
    'nightshift new "Fix the flaky login test" --repository https://github.com/acme/shop --priority high',
    'nightshift new "Write the release notes" --body-file notes.md --budget 2.50',
    'id=$(nightshift new "Run the tests" --engine command --body "npm test") && nightshift logs -f "$id"',
  ).action(async (title: string, flags: TaskFlags & ClientFlags) => {
    const { status, body: task } = await connect(flags, session).send<Task>('POST', '/api/tasks', await taskOf(title, flags, session));
    const { screen } = session;
    if (flags.json) return screen.json(task);
    screen.line(screen.rich ? `${task.id}  ${screen.paint(styleOf(task.status), task.status)}  ${oneLine(task.title)}` : task.id);
    if (status === 200) screen.remark('A task with this key is open already; this is it. Nothing new was made.');
    else if (screen.rich) screen.remark(screen.paintRemark('dim', `nightshift logs -f ${task.id}`));
  });
};
