import type { MiddlewareHandler } from 'hono';
import type { AppEnv } from './env.ts';
import { problem } from './problem.ts';

/**
 * Lets in no more large bodies at a time than there is room for: each is in memory from its first byte until it is on disk.
 * Small ones pass by, so that a few large ones keep nobody else waiting. A body of unknown length may be as long as any.
 */
export function limitLargeBodies({
  small,
  longest,
  room,
}: {
  readonly small: number;
  readonly longest: number;
  readonly room: number;
}): MiddlewareHandler<AppEnv> {
  let held = 0;
  return async (context, next) => {
    const length = context.req.header('transfer-encoding') === undefined ? Number(context.req.header('content-length') ?? 0) : longest;
    // What is too long, or no length at all, is refused by whoever counts the bytes.
    const size = Number.isSafeInteger(length) && length <= longest ? length : 0;
    if (size <= small) return next();
    if (held + size > room) {
      return problem(context, {
        status: 503,
        code: 'too-much-at-once',
        detail: 'Too many large deliveries come at the same time. Nothing was stored. Send it again in a few seconds.',
        headers: { 'retry-after': '5', connection: 'close' },
      });
    }
    held += size;
    try {
      return await next();
    } finally {
      held -= size;
    }
  };
}
