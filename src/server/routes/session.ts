import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { deleteCookie, setCookie } from 'hono/cookie';
import { Refused } from '../../domain/errors.ts';
import { cookieName, foreignPage, wrongKey } from '../auth.ts';
import type { App, AppEnv } from '../env.ts';
import { createGuesses } from '../guesses.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { isFromOurPages } from '../same-site.ts';
import type { Session } from '../sessions.ts';
import { type SessionView, sessionSchema } from '../views.ts';

const tags = ['Session'];

const credentialSchema = z
  .strictObject({ key: z.string().max(600).optional(), code: z.string().max(100).optional() })
  .refine(({ key, code }) => (key === undefined) !== (code === undefined), 'give either key or code')
  .openapi('Credential');

/** How a browser signs in: before there is anybody to ask who they are. */
export function signInRoutes({ authenticate, sessions, clock }: ServerParts): App {
  const router = newRouter();
  const guesses = createGuesses(clock);

  router.openapi(
    createRoute({
      method: 'post',
      path: '/session',
      tags,
      security: [],
      summary: 'Sign a browser in, with the API key or the code of a login link',
      description: 'Sets an http-only cookie that stands for the key in requests of the dashboard. Wrong tries are slowed down.',
      request: { body: { required: true, content: { 'application/json': { schema: credentialSchema } } } },
      responses: { 200: json(sessionSchema, 'Signed in.'), ...answers(400, 401, 403, 413, 415, 429) },
    }),
    async (context) => {
      // A page that signs you in as somebody else could read what you then type.
      if (context.req.header('origin') !== undefined && !isFromOurPages(context.req)) throw foreignPage();
      const address = addressOf(context);
      const waitMs = guesses.waitMs(address);
      if (waitMs > 0) throw tooMany(context, waitMs);
      const { key, code } = context.req.valid('json');
      const who = key !== undefined ? ownerOf(authenticate(key)) : sessions.redeem(code ?? '');
      if (who === undefined) {
        guesses.wrong(address);
        throw code === undefined ? wrongKey() : wrongCode();
      }
      guesses.right(address);
      const { token, session } = await sessions.open(who.user, who.role);
      setCookie(context, cookieName(context), token, cookieOptions(context, session, clock.now()));
      return context.json(viewOf(session), 200);
    },
  );
  return router;
}

export function sessionRoutes({ sessions }: ServerParts): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      path: '/session',
      tags,
      summary: 'Who am I?',
      responses: { 200: json(sessionSchema, 'You.'), ...answers(401) },
    }),
    (context) => {
      const session = context.get('session');
      return context.json(session ? viewOf(session) : { user: context.get('user'), role: 'owner' as const, expiresAt: null }, 200);
    },
  );
  router.openapi(
    createRoute({
      method: 'delete',
      path: '/session',
      tags,
      summary: 'Sign this browser out',
      responses: { 204: { description: 'Signed out; the cookie is gone.' }, ...answers(401, 403) },
    }),
    (context) => {
      deleteCookie(context, cookieName(context), { path: '/' });
      return context.body(null, 204);
    },
  );
  router.openapi(
    createRoute({
      method: 'post',
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
      const { code, expiresAt } = sessions.issueCode(context.get('user'), context.get('session')?.role ?? 'owner');
      return context.json({ code, expiresAt: new Date(expiresAt).toISOString() }, 201);
    },
  );
  return router;
}

const ownerOf = (user: string | undefined): { user: string; role: 'owner' } | undefined =>
  user === undefined ? undefined : { user, role: 'owner' };

const viewOf = ({ user, role, expiresAt }: Session): SessionView => ({
  user,
  role,
  expiresAt: new Date(expiresAt).toISOString(),
});

function cookieOptions(context: Context<AppEnv>, { expiresAt }: Session, now: number) {
  const secure = context.req.header('x-forwarded-proto')?.split(',')[0]?.trim() === 'https' || context.req.url.startsWith('https:');
  return { path: '/', httpOnly: true, sameSite: 'Strict', secure, maxAge: Math.floor((expiresAt - now) / 1_000) } as const;
}

const wrongCode = (): Refused =>
  new Refused(
    401,
    'wrong-code',
    'That login link has been used, has expired, or is from before a restart. `nightshift token link` prints a new one.',
  );

function tooMany(context: Context<AppEnv>, waitMs: number): Refused {
  const seconds = Math.ceil(waitMs / 1_000);
  context.header('retry-after', String(seconds));
  return new Refused(429, 'too-many-tries', `Too many wrong tries from this address. Try again in ${seconds} s.`);
}

/** Who knocks. Only a proxy on this machine is believed about whom it speaks for, and only in what it added itself. */
function addressOf(context: Context<AppEnv>): string {
  const peer = context.env?.incoming?.socket.remoteAddress ?? 'unknown';
  const local = peer === '::1' || peer.startsWith('127.') || peer.startsWith('::ffff:127.');
  const forwarded = local ? context.req.header('x-forwarded-for')?.split(',').at(-1)?.trim() : undefined;
  return forwarded || peer;
}
