import { Argument } from 'commander';
import { priorities } from '../domain/task.ts';
import type { Task } from './api.ts';
import { type ClientFlags, clientFlags } from './connect.ts';
import { withEach } from './each.ts';
import { type Define, examples } from './session.ts';

export const define: Define = (command, session) => {
  const described = command
    .argument('<id>', 'a task that still waits')
    .addArgument(new Argument('<level>', 'its new priority').choices(priorities));
  examples(clientFlags(described), 'nightshift priority tsk_01KEXAMPLE000000000000000 high').action(
    (id: string, level: string, flags: ClientFlags) =>
      withEach(
        session,
        flags,
        [id],
        async (client, each) => (await client.send<Task>('PATCH', `/api/tasks/${each}`, { priority: level })).body,
        ({ priority }) => `priority ${priority}`,
      ),
  );
};
