import type { QueueState } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { type Define, examples } from './session.ts';
import { plural } from './wording.ts';

export const define: Define = (command, session) => {
  examples(clientFlags(command), 'nightshift pause').action(async (flags: ClientFlags) => {
    const { body: queue } = await connect(flags, session).send<QueueState>('POST', '/api/queue/pause');
    if (flags.json) return session.screen.json(queue);
    const running = queue.open.reduce((sum, { status, count }) => sum + (status === 'running' ? count : 0), 0);
    session.screen.line(`Paused: nothing more is started${running > 0 ? `; ${plural(running, 'run')} under way go on` : ''}.`);
  });
};
