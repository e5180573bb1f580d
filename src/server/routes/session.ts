import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { deleteCookie, setCookie } from 'hono/cookie';
import { Refused } from '../../domain/errors.ts';
import { byKey, cookieName, countStrangers, foreignPage, orWait, wrongKey } from '../access/auth.ts';
import { type Caller, digestOf, keyCredential } from '../access/caller.ts';
import { isFromOurPages } from '../access/same-site.ts';
import type { Holder } from '../access/sessions.ts';
import type { App, AppEnv } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { sessionSchema } from '../views/access.ts';
import type { SessionView } from '../views.ts';

const tags = ['Session'];

const credentialSchema = z
  .strictObject({ key: z.string().max(600).optional(), code: z.string().max(100).optional() })
  .refine(({ key, code }) => (key === undefined) !== (code === undefined), 'give either key or code')
  .openapi('Credential');

/** How a browser signs in: before there is anybody to ask who they are. */
export function signInRoutes({ access, sessions, clock }: ServerParts): App {
  const router = newRouter();

  async function byCode(context: Context<AppEnv>, code: string): Promise<Holder> {
    const { counted } = access.addressOf(context);
    orWait(context, access.guesses.waitMs(counted, digestOf(code)), 'wrong tries');
    const holder = sessions.redeem(code);
    if (holder) return holder;
    access.guesses.wrong(counted, digestOf(code));
    throw wrongCode();
  }

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'anyone',
      path: '/session',
      tags,
      security: [],
      summary: 'Sign a browser in, with the API key or the code of a login link',
      description: 'Sets an http-only cookie that stands for the key in requests of the dashboard. Wrong tries are slowed down.',
      request: { body: { required: true, content: { 'application/json': { schema: credentialSchema } } } },
      middleware: [countStrangers(access)] as const,
      responses: { 200: json(sessionSchema, 'Signed in.'), ...answers(400, 401, 403, 413, 415, 429, 503) },
    }),
    async (context) => {
      // A page that signs you in as somebody else could read what you then type.
      if (context.req.header('origin') !== undefined && !isFromOurPages(context.req)) throw foreignPage();
      const { key, code } = context.req.valid('json');
      const holder = key === undefined ? await byCode(context, code ?? '') : whole(await byKey(context, access, keyCredential(key)));
      const opened = await sessions.open(holder);
      const caller = opened && (await access.identities.identify({ kind: 'session', token: opened.token }));
      // What it was asked for with may have come to its end since.
      if (!opened || !caller) throw key === undefined ? wrongCode() : wrongKey();
      context.set('caller', caller);
      setCookie(context, cookieName(context), opened.token, cookieOptions(context, opened.expiresAt, clock.now()));
      return context.json(sessionView(caller), 200);
    },
  );
  return router;
}

export function sessionRoutes({ sessions }: ServerParts): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/session',
      tags,
      summary: 'Who am I?',
      responses: { 200: json(sessionSchema, 'You.'), ...answers(401) },
    }),
    (context) => context.json(sessionView(callerOf(context)), 200),
  );
  router.openapi(
    createRoute({
      method: 'delete',
      'x-role': 'viewer',
      path: '/session',
      tags,
      summary: 'Sign this browser out',
      responses: { 204: { description: 'Signed out; the session is over, whoever still has its cookie.' }, ...answers(401, 503) },
    }),
    async (context) => {
      const { session } = callerOf(context);
      if (session) await sessions.end(session.id);
      deleteCookie(context, cookieName(context), { path: '/' });
      return context.body(null, 204);
    },
  );
  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'viewer',
      path: '/session/code',
      tags,
      summary: 'A code for a login link, good once',
      description: 'Put it into the fragment of a link: `ADDRESS/#login=CODE`. A fragment is never sent, so it is in nobody else’s log.',
      responses: {
        201: json(z.object({ code: z.string(), expiresAt: z.iso.datetime() }).openapi('LoginCode'), 'The code.'),
        ...answers(401, 403, 413),
      },
    }),
    (context) => {
      const { code, expiresAt } = sessions.issueCode(whole(callerOf(context)));
      return context.json({ code, expiresAt: new Date(expiresAt).toISOString() }, 201);
    },
  );
  return router;
}

/** Behind the door everybody is somebody. */
export function callerOf(context: Context<AppEnv>): Caller {
  const caller = context.get('caller');
  if (!caller) throw new Error('a route behind the door was reached without a caller');
  return caller;
}

/** The dashboard looks at everything. With a key that is held to some of it, it would seem broken. */
function whole(caller: Caller): Caller {
  if (caller.scopes === null) return caller;
  throw new Refused(
    403,
    'scoped-key',
    `The key ${caller.user} is held to some things and is for programs; a browser takes one without scopes.`,
  );
}

export const sessionView = ({ user, role, scopes, session }: Caller): SessionView => ({
  user,
  role,
  scopes: scopes?.map(({ group, write }) => `${group}:${write ? 'write' : 'read'}`) ?? null,
  expiresAt: session ? new Date(session.expiresAt).toISOString() : null,
});

function cookieOptions(context: Context<AppEnv>, expiresAt: number, now: number) {
  const secure = context.req.header('x-forwarded-proto')?.split(',')[0]?.trim() === 'https' || context.req.url.startsWith('https:');
  return { path: '/', httpOnly: true, sameSite: 'Strict', secure, maxAge: Math.floor((expiresAt - now) / 1_000) } as const;
}

const wrongCode = (): Refused =>
  new Refused(
    401,
    'wrong-code',
    'That login link has been used, has expired, or is from before a restart. `nightshift token link` prints a new one.',
  );
