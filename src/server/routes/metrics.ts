import { createRoute, z } from '@hono/zod-openapi';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers } from '../responses.ts';
import { newRouter } from '../router.ts';

export function metricsRoutes({ metrics }: Pick<ServerParts, 'metrics'>): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/metrics',
      tags: ['Health'],
      summary: 'Figures for Prometheus',
      responses: { 200: { description: 'The figures.', content: { 'text/plain': { schema: z.string() } } }, ...answers(401, 503) },
    }),
    async (context) => context.text(await metrics.render(), 200, { 'content-type': metrics.contentType }),
  );
  return router;
}
