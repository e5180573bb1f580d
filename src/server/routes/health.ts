import { createRoute, z } from '@hono/zod-openapi';
import { NightshiftError } from '../../domain/errors.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { json } from '../responses.ts';
import { newRouter } from '../router.ts';

const healthSchema = z.object({ status: z.literal('ok'), version: z.string() }).openapi('Health');
const readySchema = z.object({ status: z.enum(['ready', 'not-ready']), reason: z.string().optional() }).openapi('Readiness');

/** The only routes without a key; they tell nothing that a stranger could use. */
export function healthRoutes({ store, version, isStopping }: ServerParts): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'anyone',
      path: '/health',
      tags: ['Health'],
      security: [],
      summary: 'Is the process alive?',
      responses: { 200: json(healthSchema, 'It is.') },
    }),
    (context) => context.json({ status: 'ok' as const, version }, 200),
  );
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'anyone',
      path: '/ready',
      tags: ['Health'],
      security: [],
      summary: 'Can it take work?',
      responses: { 200: json(readySchema, 'It can.'), 503: json(readySchema, 'Not now, and why.') },
    }),
    async (context) => {
      if (isStopping()) return context.json({ status: 'not-ready' as const, reason: 'stopping' }, 503);
      try {
        await store.ping();
        return context.json({ status: 'ready' as const }, 200);
      } catch (error) {
        return context.json({ status: 'not-ready' as const, reason: error instanceof NightshiftError ? error.code : 'store' }, 503);
      }
    },
  );
  return router;
}
