import type { Task } from './api.ts';
import { type ClientFlags, clientFlags } from './connect.ts';
import { withEach } from './each.ts';
import { type Define, examples } from './session.ts';

export const define: Define = (command, session) => {
  examples(clientFlags(command.argument('<id...>', 'tasks that await approval')), 'nightshift deny tsk_01KEXAMPLE000000000000000').action(
    (ids: readonly string[], flags: ClientFlags) =>
      withEach(
        session,
        flags,
        ids,
        async (client, id) => (await client.send<Task>('POST', `/api/tasks/${id}/deny`)).body,
        ({ status }) => status,
      ),
  );
};
