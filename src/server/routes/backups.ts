import { createRoute } from '@hono/zod-openapi';
import { Refused, Unusable } from '../../domain/errors.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { backupSchema, backupsSchema } from '../views.ts';

const tags = ['Server'];
const shown = ({ file, kind, bytes, madeAt }: Awaited<ReturnType<ServerParts['backups']['make']>>) => ({
  file,
  kind,
  bytes,
  madeAt: new Date(madeAt).toISOString(),
});

export function backupRoutes({ backups }: ServerParts): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/backups',
      tags,
      summary: 'List the backups of this node, newest first',
      responses: {
        200: json(backupsSchema, 'Those there are, and why the last could not be made.'),
        ...answers(401),
      },
    }),
    async (context) => context.json({ items: (await backups.list()).map(shown), failure: (await backups.trouble()) ?? null }, 200),
  );
  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'owner',
      path: '/backups',
      tags,
      summary: 'Make a backup now; answers when it is whole',
      description: 'The oldest that was made by hand makes room for it; those that the server makes by itself stay.',
      responses: { 201: json(backupSchema, 'It is on the disk.'), ...answers(401, 409, 413) },
    }),
    async (context) => {
      try {
        return context.json(shown(await backups.make()), 201);
      } catch (error) {
        if (error instanceof Unusable) throw new Refused(409, error.code, error.message);
        throw error;
      }
    },
  );
  return router;
}
