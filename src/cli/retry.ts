import type { Task } from './api.ts';
import { type ClientFlags, clientFlags } from './connect.ts';
import { withEach } from './each.ts';
import { checkpointId } from './ids.ts';
import { type Define, examples } from './session.ts';

export const define: Define = (command, session) => {
  examples(
    clientFlags(
      command
        .argument('<id...>', 'tasks that ended without success')
        .option('--from <checkpoint>', 'go on from a checkpoint of one of its runs, files and conversation, instead of anew'),
    ),
    'nightshift retry tsk_01KEXAMPLE000000000000000',
    'nightshift retry tsk_01KEXAMPLE000000000000000 --from chk_01KEXAMPLE000000000000000',
  ).action((ids: readonly string[], flags: ClientFlags & { readonly from?: string }) =>
    withEach(
      session,
      flags,
      ids,
      async (client, id) =>
        (await client.send<Task>('POST', `/api/tasks/${id}/retry`, flags.from === undefined ? {} : { from: checkpointId(flags.from) }))
          .body,
      ({ status }) => status,
    ),
  );
};
