import { createRoute } from '@hono/zod-openapi';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { type ServerView, serverSchema } from '../views.ts';

export function serverRoutes(parts: ServerParts): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/server',
      tags: ['Server'],
      summary: 'What this server is, and what it has to work with',
      responses: { 200: json(serverSchema, 'This node.'), ...answers(401, 503) },
    }),
    async (context) => context.json(await serverView(parts), 200),
  );
  return router;
}

export async function serverView({ version, node, describe }: Pick<ServerParts, 'version' | 'node' | 'describe'>): Promise<ServerView> {
  const { startedAt, ...rest } = await describe();
  return {
    version,
    node,
    startedAt: new Date(startedAt).toISOString(),
    ...rest,
    engines: [...rest.engines],
    providers: [...rest.providers],
    sources: [...rest.sources],
  };
}
