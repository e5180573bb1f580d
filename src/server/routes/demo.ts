import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import { defaultProfile } from '../../domain/profile.ts';
import { orWait } from '../access/auth.ts';
import { rateLimit } from '../access/limits.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';

const demoSchema = z.object({ taskId: z.string() }).openapi('Demo');
/** Each costs some seconds of a processor. */
const demosPerMinute = 6;

export function demoRoutes({ demos, refusesWish, clock }: ServerParts): App {
  const router = newRouter();
  const limit = rateLimit(clock, demosPerMinute);
  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/demo',
      tags: ['Tasks'],
      summary: 'Run the demo on this server',
      description:
        'A task in a copy of the sample repository: agent, tools, sandbox, gates and git are real, the model is a script. No provider is asked and nothing is spent, whatever is set up here. When it is over its files are removed; what it did stays on record.',
      responses: {
        201: json(demoSchema, 'Its task; it is on disk.'),
        200: json(demoSchema, 'The demo that is under way already.'),
        ...answers(401, 409, 413, 422, 503),
      },
    }),
    async (context) => {
      orWait(context, limit.take('demo'));
      const why = await refusesWish({ engine: 'claude', profile: defaultProfile, repository: 'the sample', trust: 'owner' });
      if (why !== undefined) throw new Refused(422, why.code, why.message);
      const begun = await demos.start(context.get('user'));
      if (begun.kind === 'refused') throw new Refused(409, begun.reason.code, begun.reason.message);
      return context.json({ taskId: begun.task.id }, begun.kind === 'started' ? 201 : 200);
    },
  );
  return router;
}
