import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import type { AppEnv } from './env.ts';
import { problem } from './problem.ts';

/** Whose key it is, or undefined when it is nobody's. */
export type Authenticate = (key: string) => string | undefined;

/** Compares digests, so that neither the length nor a common beginning of the key can be timed. */
export function ownerKey(current: () => string): Authenticate {
  return (key) => (timingSafeEqual(digest(key), digest(current())) ? 'owner' : undefined);
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Pages that a person opens in a browser, where only the password prompt can carry a key. Nothing that changes anything. */
const browsable = new Set(['/api/docs', '/api/openapi.json']);

export function signedIn(authenticate: Authenticate): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    const key = keyOf(context);
    const user = key === undefined ? undefined : authenticate(key);
    if (user === undefined) return refuse(context, key !== undefined);
    context.set('user', user);
    return next();
  };
}

function keyOf(context: Context<AppEnv>): string | undefined {
  const header = context.req.header('authorization') ?? '';
  const bearer = /^Bearer +(\S+)$/i.exec(header)?.[1];
  if (bearer !== undefined || !browsable.has(context.req.path)) return bearer;
  const basic = /^Basic +(\S+)$/i.exec(header)?.[1];
  return basic === undefined ? undefined : Buffer.from(basic, 'base64').toString().split(':').slice(1).join(':');
}

function refuse(context: Context<AppEnv>, wrong: boolean): Response {
  return problem(context, {
    status: 401,
    code: wrong ? 'wrong-key' : 'no-key',
    detail: wrong
      ? 'That API key is not valid here. `nightshift token` prints the current one on the server.'
      : 'Send an API key as "Authorization: Bearer …". `nightshift token` prints it on the server.',
    headers: {
      'www-authenticate': browsable.has(context.req.path) ? 'Basic realm="nightshift: any name, the API key as password"' : 'Bearer',
    },
  });
}
