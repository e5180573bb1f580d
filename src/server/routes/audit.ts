import { createRoute, z } from '@hono/zod-openapi';
import { listAudit } from '../../store/audit.ts';
import type { App } from '../env.ts';
import { decodeCursor, encodeCursor, pageSchema } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { auditSchema, auditView } from '../views/access.ts';

/** Who did what. There is no way to change or remove any of it. */
export function auditRoutes({ store }: ServerParts): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'owner',
      path: '/audit',
      tags: ['Access'],
      summary: 'Who changed what, and who was refused, newest first',
      request: { query: z.strictObject(pageSchema) },
      responses: {
        200: json(z.object({ items: z.array(auditSchema), nextCursor: z.string().nullable() }).openapi('AuditPage'), 'A page.'),
        ...answers(400, 401, 503),
      },
    }),
    async (context) => {
      const { limit = 50, cursor } = context.req.valid('query');
      const before = decodeCursor('audit', cursor, (position) => /^\d{1,15}$/.test(position));
      const found = await listAudit(store.read, { before: before === null ? null : Number(before), limit: limit + 1 });
      const items = found.slice(0, limit);
      const next = found.length > limit ? String(items.at(-1)?.id) : null;
      return context.json({ items: items.map(auditView), nextCursor: encodeCursor('audit', next) }, 200);
    },
  );
  return router;
}
