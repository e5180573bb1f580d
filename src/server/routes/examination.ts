import { createRoute, z } from '@hono/zod-openapi';
import type { Finding } from '../../domain/examination.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { examinationSchema } from '../views.ts';

const tags = ['Server'];

export function examinationRoutes({ health }: ServerParts): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      path: '/health',
      'x-role': 'viewer',
      tags,
      summary: 'What the last examination of this node came to; null before the first',
      responses: {
        200: json(z.object({ last: examinationSchema.nullable() }).openapi('LastExamination'), 'The last one.'),
        ...answers(401),
      },
    }),
    (context) => context.json({ last: health.last && shown(health.last) }, 200),
  );
  router.openapi(
    createRoute({
      method: 'post',
      path: '/health',
      'x-role': 'operator',
      tags,
      summary: 'Examine this node now',
      responses: { 200: json(examinationSchema, 'What it came to.'), ...answers(401, 413) },
    }),
    async (context) => context.json(shown(await health.examine()), 200),
  );
  return router;
}

const shown = ({ at, healthy, findings }: { readonly at: number; readonly healthy: boolean; readonly findings: readonly Finding[] }) => ({
  at: new Date(at).toISOString(),
  healthy,
  checks: [...findings],
});
