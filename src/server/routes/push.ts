import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { Refused } from '../../domain/errors.ts';
import type { App, AppEnv } from '../env.ts';
import { oneLine } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';

const tags = ['Session'];
const base64url = (length: number) =>
  z.string().regex(new RegExp(`^[A-Za-z0-9_-]{${length}}$`), `must be ${length} characters of base64url, without padding`);

const pushSchema = z
  .object({
    publicKey: z.string().openapi({ description: 'What a browser subscribes with (`applicationServerKey`), in base64url.' }),
    subscribed: z.boolean().openapi({ description: 'Whether the browser of this session is told.' }),
  })
  .openapi('Push');

const subscriptionSchema = z
  .strictObject({
    endpoint: oneLine(1_000).openapi({ description: 'An https address of a push service.' }),
    keys: z.strictObject({ p256dh: base64url(87), auth: base64url(22) }),
  })
  .openapi('PushSubscription');

/** Whoever may look may be told: a browser hears of what its session can see anyway, and no longer than that lasts. */
export function pushRoutes({ push }: ServerParts): App {
  const router = newRouter();
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/push',
      tags,
      summary: 'How browsers are told of approvals and failures, and whether this one is',
      responses: { 200: json(pushSchema, 'Notifications.'), ...answers(401, 503) },
    }),
    async (context) => {
      const session = context.get('caller')?.session;
      return context.json({ publicKey: push.publicKey, subscribed: session ? await push.isSubscribed(session.id) : false }, 200);
    },
  );
  router.openapi(
    createRoute({
      method: 'put',
      'x-role': 'viewer',
      path: '/push',
      tags,
      summary: 'Tell this browser of approvals and failures, as long as its session lasts',
      request: { body: { required: true, content: { 'application/json': { schema: subscriptionSchema } } } },
      responses: { 204: { description: 'It is told from now on.' }, ...answers(400, 401, 409, 413, 415, 422, 503) },
    }),
    async (context) => {
      const { endpoint, keys } = context.req.valid('json');
      const why = await push.subscribe(sessionOf(context), { endpoint, ...keys });
      if (why !== undefined) throw new Refused(422, 'bad-subscription', `This browser cannot be told: ${why}.`);
      return context.body(null, 204);
    },
  );
  router.openapi(
    createRoute({
      method: 'delete',
      'x-role': 'viewer',
      path: '/push',
      tags,
      summary: 'Tell this browser no more',
      responses: { 204: { description: 'It is told nothing any more.' }, ...answers(401, 409, 503) },
    }),
    async (context) => {
      await push.unsubscribe(sessionOf(context));
      return context.body(null, 204);
    },
  );
  return router;
}

function sessionOf(context: Context<AppEnv>): string {
  const session = context.get('caller')?.session;
  if (session) return session.id;
  throw new Refused(409, 'no-session', 'Only a browser that is signed in can be told this way. Programs follow /api/events.');
}
