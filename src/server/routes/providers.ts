import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { iso } from '../views/values.ts';
import { type ProvidersView, providersSchema } from '../views.ts';

export function providerRoutes(parts: ServerParts): App {
  const router = newRouter();
  const state = (): ProvidersView => {
    const { providers, breakers, waiting } = parts.providers();
    return {
      providers: providers.map(({ name, keys }) => ({ name, keys: keys.map((key) => ({ ...key, until: iso(key.until) })) })),
      breakers: breakers.map((breaker) => ({ ...breaker, until: iso(breaker.until) })),
      waiting: waiting.map((each) => ({ ...each })),
    };
  };

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/providers',
      tags: ['Models'],
      summary: 'Model providers of this node: their keys and breakers, and which runs wait for them',
      responses: { 200: json(providersSchema, 'As they stand now.'), ...answers(401, 413) },
    }),
    (context) => context.json(state(), 200),
  );
  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/providers/breakers/{id}/reset',
      tags: ['Models'],
      summary: 'Close a breaker now: whoever waits for it asks again',
      request: { params: z.object({ id: z.string().max(300) }) },
      responses: { 200: json(providersSchema, 'As they stand now.'), ...answers(400, 401, 404, 413) },
    }),
    (context) => {
      const { id } = context.req.valid('param');
      if (!parts.resetBreaker(id)) throw new Refused(404, 'no-such-breaker', 'There is no breaker of that id. See GET /api/providers.');
      return context.json(state(), 200);
    },
  );
  return router;
}
