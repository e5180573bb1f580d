import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import { isId } from '../../domain/id.ts';
import { messageStates } from '../../domain/mail.ts';
import type { Handled } from '../../outbox/outbox.ts';
import { findMessage, listMessages } from '../../store/outbox.ts';
import type { App } from '../env.ts';
import { decodeCursor, encodeCursor, oneLine, pageSchema, requireId } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { messageSchema, messageView } from '../views/mail.ts';

const tags = ['Outbox'];
const idParam = z.object({ id: z.string().openapi({ example: 'msg_01KEXAMPLE000000000000000' }) });

export function outboxRoutes({ store, outbox }: ServerParts): App {
  const router = newRouter();
  const handled = (answer: Handled): z.infer<typeof messageSchema> => {
    if (!answer.ok) throw new Refused(answer.status, answer.code, answer.detail);
    return messageView(answer.message);
  };

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/outbox',
      tags,
      summary: 'List what is to be sent and what was, newest first',
      request: {
        query: z.strictObject({
          state: z.enum(messageStates).optional(),
          channel: oneLine(100).optional(),
          recipient: oneLine(500).optional(),
          ...pageSchema,
        }),
      },
      responses: {
        200: json(z.object({ items: z.array(messageSchema), nextCursor: z.string().nullable() }).openapi('MessagePage'), 'A page.'),
        ...answers(400, 401, 503),
      },
    }),
    async (context) => {
      const { limit = 50, cursor, ...filter } = context.req.valid('query');
      const before = decodeCursor('outbox', cursor, (position) => isId('message', position));
      const found = await listMessages(store.read, filter, { before, limit: limit + 1 });
      const items = found.slice(0, limit);
      const next = found.length > limit ? (items.at(-1)?.id ?? null) : null;
      return context.json({ items: items.map(messageView), nextCursor: encodeCursor('outbox', next) }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/outbox/{id}',
      tags,
      summary: 'Look at one message',
      request: { params: idParam },
      responses: { 200: json(messageSchema, 'The message.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const id = requireId('message', context.req.valid('param').id);
      const message = await findMessage(store.read, id);
      if (!message) throw new Refused(404, 'no-such-message', `There is no message ${id}.`);
      return context.json(messageView(message), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/outbox/{id}/resend',
      tags,
      summary: 'Send one again that was given up or discarded',
      request: { params: idParam },
      responses: { 200: json(messageSchema, 'The message, in line again.'), ...answers(401, 404, 409, 413, 503) },
    }),
    async (context) => context.json(handled(await outbox.resend(requireId('message', context.req.valid('param').id))), 200),
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/outbox/{id}/discard',
      tags,
      summary: 'Make sure that one is not sent',
      request: { params: idParam },
      responses: { 200: json(messageSchema, 'The message, discarded.'), ...answers(401, 404, 409, 413, 503) },
    }),
    async (context) => context.json(handled(await outbox.discard(requireId('message', context.req.valid('param').id))), 200),
  );

  return router;
}
