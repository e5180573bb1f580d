import { OpenAPIHono } from '@hono/zod-openapi';
import type { App, AppEnv } from './env.ts';
import { problem } from './problem.ts';

/** A router whose validation failures are problem documents that name each bad field. */
export function newRouter(): App {
  return new OpenAPIHono<AppEnv>({
    defaultHook(result, context) {
      if (result.success) return;
      // The more is wrong with a request, the less of it is worth repeating.
      const errors = result.error.issues
        .slice(0, 50)
        .map(({ path, message }) => ({ path: path.join('.'), message: message.slice(0, 300) }));
      const detail = errors.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ');
      return problem(context, { status: 400, code: 'invalid-request', detail: detail.slice(0, 2_000), errors });
    },
  });
}
