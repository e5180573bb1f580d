import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import { isId } from '../../domain/id.ts';
import { deliveryStates } from '../../domain/mail.ts';
import { refuse } from '../../queue/durable-queue.ts';
import { deliveryBody, findDelivery, listDeliveries } from '../../store/inbox.ts';
import type { App } from '../env.ts';
import { decodeCursor, encodeCursor, oneLine, pageSchema, requireId } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { deliverySchema, deliveryView, wholeDeliverySchema } from '../views/mail.ts';

const tags = ['Inbox'];
const idParam = z.object({ id: z.string().openapi({ example: 'inb_01KEXAMPLE000000000000000' }) });

export function inboxRoutes({ store, inbox }: ServerParts): App {
  const router = newRouter();

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/inbox',
      tags,
      summary: 'List what arrived, newest first',
      request: { query: z.strictObject({ state: z.enum(deliveryStates).optional(), source: oneLine(100).optional(), ...pageSchema }) },
      responses: {
        200: json(z.object({ items: z.array(deliverySchema), nextCursor: z.string().nullable() }).openapi('DeliveryPage'), 'A page.'),
        ...answers(400, 401, 503),
      },
    }),
    async (context) => {
      const { limit = 50, cursor, ...filter } = context.req.valid('query');
      const before = decodeCursor('inbox', cursor, (position) => isId('delivery', position));
      const found = await listDeliveries(store.read, filter, { before, limit: limit + 1 });
      const items = found.slice(0, limit);
      const next = found.length > limit ? (items.at(-1)?.id ?? null) : null;
      return context.json({ items: items.map(deliveryView), nextCursor: encodeCursor('inbox', next) }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/inbox/{id}',
      tags,
      summary: 'Look at one delivery, with what it carried',
      request: { params: idParam },
      responses: { 200: json(wholeDeliverySchema, 'The delivery.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const id = requireId('delivery', context.req.valid('param').id);
      const delivery = await findDelivery(store.read, id);
      if (!delivery) throw new Refused(404, 'no-such-delivery', `There is no delivery ${id}.`);
      const body = await deliveryBody(store.read, id);
      return context.json({ ...deliveryView(delivery), body: body === null ? null : body.toString() }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/inbox/{id}/replay',
      tags,
      summary: 'Read one again that failed or was ignored',
      request: { params: idParam },
      responses: { 200: json(deliverySchema, 'The delivery; it is read within a moment.'), ...answers(401, 404, 409, 413, 503) },
    }),
    async (context) => {
      const replay = await inbox.replay(requireId('delivery', context.req.valid('param').id));
      if (!replay.ok) throw refuse(replay.refusal);
      return context.json(deliveryView(replay.delivery), 200);
    },
  );

  return router;
}
