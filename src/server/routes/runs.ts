import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import { spentByRun } from '../../store/ledger.ts';
import { findResult } from '../../store/results.ts';
import { findRun } from '../../store/runs.ts';
import type { App } from '../env.ts';
import { requireId } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { runSchema, runView } from '../views.ts';

export function runRoutes({ store, outputFile }: ServerParts): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      path: '/runs/{id}',
      tags: ['Runs'],
      summary: 'Look at one run',
      request: { params: z.object({ id: z.string().openapi({ example: 'run_01KEXAMPLE000000000000000' }) }) },
      responses: { 200: json(runSchema, 'The run.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const id = requireId('run', context.req.valid('param').id);
      const run = await findRun(store.read, id);
      if (!run) throw new Refused(404, 'no-such-run', `There is no run ${id}.`);
      return context.json(runView(run, outputFile(id), await findResult(store.read, id), await spentByRun(store.read, id)), 200);
    },
  );
  return router;
}
