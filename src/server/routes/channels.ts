import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import type { Message } from '../../domain/mail.ts';
import { noticeFor } from '../../domain/notice.ts';
import { wait } from '../../platform/clock.ts';
import { messageUnder } from '../../store/outbox.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { messageSchema, messageView } from '../views/mail.ts';

const tags = ['Outbox'];
const longestWaitMs = 15_000;

export function channelRoutes(parts: ServerParts): App {
  const { store, outbox, clock, newId, alertChannels } = parts;
  const router = newRouter();

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/channels',
      tags,
      summary: 'List the channels that alerts go to',
      responses: {
        200: json(z.object({ items: z.array(z.object({ name: z.string() })) }).openapi('Channels'), 'Those that are set up.'),
        ...answers(401),
      },
    }),
    (context) => context.json({ items: alertChannels.map((name) => ({ name })) }, 200),
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/channels/{name}/test',
      tags,
      summary: 'Send a test through a channel',
      description:
        'Waits up to 15 seconds for it to be sent or given up; after that the message is still `waiting`, and its reason says why.',
      request: { params: z.object({ name: z.string().openapi({ example: 'slack' }) }) },
      responses: { 200: json(messageSchema, 'The message as it stands then.'), ...answers(401, 404, 413, 503) },
    }),
    async (context) => {
      const { name } = context.req.valid('param');
      if (!alertChannels.includes(name)) {
        const known = alertChannels.length === 0 ? 'none is set up' : `set up: ${alertChannels.join(', ')}`;
        throw new Refused(404, 'no-such-channel', `There is no channel ${JSON.stringify(name.slice(0, 60))} (${known}).`);
      }
      const key = `test:${newId('tst')}`;
      const text = `${context.get('user')} asked for this, to see whether it arrives.`;
      await store.write((tx) =>
        outbox.put(tx, [noticeFor(name, key, { severity: 'info', title: 'A test of Nightshift', text, resolved: false, at: clock.now() })]),
      );
      return context.json(messageView(await settled(key, name)), 200);
    },
  );

  async function settled(key: string, channel: string): Promise<Message> {
    const until = clock.monotonic() + longestWaitMs;
    for (;;) {
      const message = await messageUnder(store.read, channel, key);
      if (message && (message.state !== 'waiting' || clock.monotonic() > until)) return message;
      await wait(clock, 100);
    }
  }

  return router;
}
