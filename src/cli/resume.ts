import type { QueueState } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { type Define, examples } from './session.ts';

export const define: Define = (command, session) => {
  examples(clientFlags(command), 'nightshift resume').action(async (flags: ClientFlags) => {
    const { body: queue } = await connect(flags, session).send<QueueState>('POST', '/api/queue/resume');
    if (flags.json) session.screen.json(queue);
    else session.screen.line('Work goes on.');
  });
};
