import { z } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { Refused } from '../../../domain/errors.ts';
import type { AppEnv } from '../../env.ts';
import { problemSchema } from '../../problem.ts';
import { meanings, withRefusalsOfTheDoor } from '../../responses.ts';

/** Everything under these paths is refused in the words of that runtime too, whoever refuses it. */
export const runtimePaths = ['/api/agent-runtime/*', '/api/executions/*', '/api/work-items/*', '/api/workers/*'];

const validation = 'Validation failed';

export const runtimeDialect: MiddlewareHandler<AppEnv> = async (context, next) => {
  context.set('alsoSay', ({ status, detail, errors }) => ({
    error: status === 400 ? validation : detail,
    statusCode: status,
    details:
      status === 400
        ? (errors ?? [{ path: '', message: detail }]).map(({ path, message }) => ({ path: path === '' ? [] : path.split('.'), message }))
        : undefined,
  }));
  await next();
};

const refusalSchema = problemSchema
  .omit({ details: true })
  .extend({
    error: z.string(),
    statusCode: z.number().int(),
    details: z
      .array(z.object({ path: z.array(z.string()), message: z.string() }))
      .optional()
      .openapi({ description: `What is wrong with the request, when \`error\` is "${validation}".` }),
  })
  .openapi('AgentRuntimeProblem');

export const notFound = (kind: string, noun: string, id: string): Refused =>
  new Refused(404, `no-such-${kind}`, `${noun} with id ${id.slice(0, 100)} not found`);

/** Like `answers`, of that form. */
export function refusals<const S extends number>(...statuses: S[]) {
  const answer = (status: number) => ({
    description: meanings[status] ?? '',
    content: { 'application/problem+json': { schema: refusalSchema } },
  });
  return Object.fromEntries(withRefusalsOfTheDoor(statuses).map((status) => [status, answer(status)])) as Record<
    S,
    ReturnType<typeof answer>
  >;
}
