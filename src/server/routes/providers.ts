import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';

const until = z.iso.datetime().nullable();

const providersSchema = z
  .object({
    providers: z
      .array(
        z.object({
          name: z.string(),
          keys: z.array(z.object({ id: z.string().nullable(), state: z.enum(['ok', 'limited', 'rejected']), until })),
        }),
      )
      .openapi({ description: 'In the order in which they are asked. An id tells nothing of its key.' }),
    breakers: z.array(
      z.object({
        id: z.string(),
        provider: z.string(),
        model: z.string(),
        state: z.enum(['closed', 'open', 'half-open']),
        failures: z.number().int(),
        until,
      }),
    ),
    waiting: z.array(z.object({ runId: z.string(), calls: z.number().int() })),
  })
  .openapi('Providers');

export function providerRoutes(parts: ServerParts): App {
  const router = newRouter();
  const state = (): z.infer<typeof providersSchema> => {
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

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());
