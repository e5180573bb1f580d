import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { getCookie } from 'hono/cookie';
import { Refused } from '../domain/errors.ts';
import type { AppEnv } from './env.ts';
import { isFromOurPages } from './same-site.ts';
import type { Session, Sessions } from './sessions.ts';

/** Whose key it is, or undefined when it is nobody's. */
export type Authenticate = (key: string) => string | undefined;

/** Compares digests, so that neither the length nor a common beginning of the key can be timed. */
export function ownerKey(current: () => string): Authenticate {
  return (key) => (timingSafeEqual(digest(key), digest(current())) ? 'owner' : undefined);
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Pages that a person opens in a browser, where only the password prompt can carry a key. Nothing that changes anything. */
const browsable = new Set(['/api/docs', '/api/openapi.json']);

/** Every request has a key or, from a browser, the cookie of a session. A key that was sent decides, whatever cookie comes along. */
export function signedIn(authenticate: Authenticate, sessions: Sessions): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    const key = keyOf(context);
    if (key !== undefined) {
      const user = authenticate(key);
      if (user === undefined) throw refuse(context, true);
      context.set('user', user);
      return next();
    }
    const session = await sessionOf(context, sessions);
    if (session === undefined) throw refuse(context, false);
    if (!isFromOurPages(context.req)) throw foreignPage();
    context.set('user', session.user);
    context.set('session', session);
    return next();
  };
}

async function sessionOf(context: Context<AppEnv>, sessions: Sessions): Promise<Session | undefined> {
  const token = getCookie(context, cookieName(context));
  return token === undefined ? undefined : sessions.read(token);
}

/** Cookies are shared by all ports of a host, and two servers on one machine must not sign each other out. */
export function cookieName(context: Context<AppEnv>): string {
  const port = /:(\d{1,5})$/.exec(context.req.header('host') ?? '')?.[1];
  return port === undefined ? 'nightshift' : `nightshift-${port}`;
}

export const foreignPage = (): Refused =>
  new Refused(
    403,
    'foreign-page',
    'That came from another page than the dashboard of this server. Programs send an API key instead of a cookie.',
  );

export const wrongKey = (): Refused =>
  new Refused(401, 'wrong-key', 'That API key is not valid here. `nightshift token` prints the current one on the server.');

function keyOf(context: Context<AppEnv>): string | undefined {
  const header = context.req.header('authorization') ?? '';
  const bearer = /^Bearer +(\S+)$/i.exec(header)?.[1];
  if (bearer !== undefined || !browsable.has(context.req.path)) return bearer;
  const basic = /^Basic +(\S+)$/i.exec(header)?.[1];
  return basic === undefined ? undefined : Buffer.from(basic, 'base64').toString().split(':').slice(1).join(':');
}

function refuse(context: Context<AppEnv>, wrong: boolean): Refused {
  context.header(
    'www-authenticate',
    browsable.has(context.req.path) ? 'Basic realm="nightshift: any name, the API key as password"' : 'Bearer',
  );
  if (wrong) return wrongKey();
  return new Refused(401, 'no-key', 'Send an API key as "Authorization: Bearer …". `nightshift token` prints it on the server.');
}
