import type { Context, MiddlewareHandler } from 'hono';
import { getCookie } from 'hono/cookie';
import { inScope, mayAct, type Requirement } from '../../domain/access.ts';
import { Refused } from '../../domain/errors.ts';
import type { AppEnv } from '../env.ts';
import type { AddressOf } from './address.ts';
import { type Caller, type Credential, type KeyCredential, keyCredential } from './caller.ts';
import type { Guesses } from './guesses.ts';
import type { Identities } from './identities.ts';
import type { RateLimit } from './limits.ts';
import { isFromOurPages } from './same-site.ts';

export interface AccessParts {
  readonly identities: Pick<Identities, 'recall' | 'identify'>;
  readonly addressOf: AddressOf;
  readonly guesses: Guesses;
  /** Of keys and sessions. */
  readonly keyLimit: RateLimit;
  /** Of requests that show nothing that is good for anything. */
  readonly addressLimit: RateLimit;
}

/** Pages that a person opens in a browser, where only the password prompt can carry a key. Nothing that changes anything. */
const browsable = new Set(['/api/docs', '/api/openapi.json']);

/**
 * Every request has a key or, from a browser, the cookie of a session, and what it asks for is held against what they may.
 * A key that was sent decides, whatever cookie comes along.
 */
export function admit(parts: AccessParts): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    const key = keyOf(context);
    const credential = key === undefined ? sessionOf(context) : keyCredential(key);
    if (credential === undefined) throw stranger(context, parts);
    const caller = credential.kind === 'key' ? await byKey(context, parts, credential) : await bySession(context, parts, credential);
    context.set('caller', caller);
    context.set('user', caller.user);
    context.set('credential', credential);
    // The owner's own key could stop the server; there is nothing to protect from it. What is refused to others counts as well.
    if (caller.keyId !== null || caller.session !== null) orWait(context, parts.keyLimit.take(caller.session?.id ?? caller.keyId ?? ''));
    const requirement = context.get('requirement');
    if (requirement) hold(caller, requirement);
    return next();
  };
}

/** Whose key it is. Wrong ones cost their address something, and more and more time. */
export async function byKey(context: Context<AppEnv>, parts: AccessParts, credential: KeyCredential): Promise<Caller> {
  const { counted } = parts.addressOf(context);
  orWait(context, parts.guesses.waitMs(counted, credential.digest), 'wrong tries');
  const known = parts.identities.recall(credential);
  if (!known) orWait(context, parts.addressLimit.waitMs(counted));
  const caller = known ?? (await parts.identities.identify(credential));
  if (!caller) {
    parts.guesses.wrong(counted, credential.digest);
    parts.addressLimit.take(counted);
    asks(context);
    throw wrongKey();
  }
  parts.guesses.right(counted, credential.digest);
  return caller;
}

async function bySession(context: Context<AppEnv>, parts: AccessParts, credential: Credential): Promise<Caller> {
  const caller = parts.identities.recall(credential) ?? (await parts.identities.identify(credential));
  if (!caller) throw stranger(context, parts);
  if (!isFromOurPages(context.req)) throw foreignPage();
  return caller;
}

/** Whoever shows nothing, or nothing that is good any more. */
function stranger(context: Context<AppEnv>, { addressLimit, addressOf }: AccessParts): Refused {
  orWait(context, addressLimit.take(addressOf(context).counted));
  asks(context);
  return new Refused(401, 'no-key', 'Send an API key as "Authorization: Bearer …". `nightshift token` prints it on the server.');
}

/** Counts what is asked for without a key: pages, deliveries, attempts to sign in. */
export function countStrangers({ addressLimit, addressOf }: AccessParts): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    orWait(context, addressLimit.take(addressOf(context).counted));
    await next();
  };
}

function hold({ user, role, scopes }: Caller, { audience, group, write, action }: Requirement): void {
  if (audience !== 'anyone' && !mayAct(role, audience)) {
    throw new Refused(403, 'role-needed', `${action} takes the role ${audience}; ${user} has the role ${role}.`, {
      needed: audience,
      role,
    });
  }
  if (scopes === null || group === null || inScope(scopes, group, write)) return;
  const scope = `${group}:${write ? 'write' : 'read'}`;
  throw new Refused(403, 'scope-needed', `${action} takes the scope ${scope}, which the key ${user} does not have.`, {
    needed: scope,
  });
}

function sessionOf(context: Context<AppEnv>): Credential | undefined {
  const token = getCookie(context, cookieName(context));
  return token === undefined ? undefined : { kind: 'session', token };
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
  new Refused(
    401,
    'wrong-key',
    'That API key is not valid here. It may have expired or been revoked; `nightshift token` on the server prints the owner’s.',
  );

/** Refuses until then, if there is a then. */
export function orWait(context: Context<AppEnv>, waitMs: number, why: 'requests' | 'wrong tries' = 'requests'): void {
  if (waitMs <= 0) return;
  const seconds = Math.ceil(waitMs / 1_000);
  context.header('retry-after', String(seconds));
  if (why === 'requests') throw new Refused(429, 'too-many-requests', `Too many requests. Try again in ${seconds} s.`);
  throw new Refused(429, 'too-many-tries', `Too many wrong tries from this address. Try again in ${seconds} s.`);
}

function keyOf(context: Context<AppEnv>): string | undefined {
  const header = context.req.header('authorization') ?? '';
  const bearer = /^Bearer +(\S+)$/i.exec(header)?.[1];
  if (bearer !== undefined || !browsable.has(context.req.path)) return bearer;
  const basic = /^Basic +(\S+)$/i.exec(header)?.[1];
  return basic === undefined ? undefined : Buffer.from(basic, 'base64').toString().split(':').slice(1).join(':');
}

function asks(context: Context<AppEnv>): void {
  context.header(
    'www-authenticate',
    browsable.has(context.req.path) ? 'Basic realm="nightshift: any name, the API key as password"' : 'Bearer',
  );
}
