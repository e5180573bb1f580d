import { randomBytes } from 'node:crypto';
import { createRoute, z } from '@hono/zod-openapi';
import { type ApiKey, parseScope, roles, stateOf } from '../../domain/access.ts';
import { Refused } from '../../domain/errors.ts';
import { idPrefixes } from '../../domain/id.ts';
import { findKey, insertKey, listKeys, revokeKey, rotateKey } from '../../store/access.ts';
import { digestOf } from '../access/caller.ts';
import type { App } from '../env.ts';
import { profileName } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { keySchema, keyView } from '../views/access.ts';

const tags = ['Access'];
const idParam = z.object({ id: z.string().max(100).openapi({ description: 'The id, or the name of a key that is not revoked.' }) });

const defaultLifeMs = 90 * 86_400_000;
const defaultGraceSeconds = 86_400;
const longestGraceSeconds = 30 * 86_400;

const newKeySchema = z
  .strictObject({
    name: profileName.refine((name) => name !== 'owner', 'is the owner'),
    role: z.enum(roles),
    scopes: z
      .array(z.string().max(50))
      .min(1)
      .max(50)
      .nullable()
      .optional()
      .openapi({ description: 'What it is held to, like `tasks` or `runs:read`. Default: everything that the role may.' }),
    expiresAt: z.iso.datetime({ offset: true }).nullable().optional().openapi({ description: 'Default: in 90 days. Null: never.' }),
  })
  .openapi('NewApiKey');

const rotationSchema = z
  .strictObject({
    graceSeconds: z
      .number()
      .int()
      .min(0)
      .max(longestGraceSeconds)
      .optional()
      .openapi({ description: `How long the old secret is taken as well. Default: ${defaultGraceSeconds} (a day).` }),
  })
  .openapi('Rotation');

const withSecret = z
  .object({ ...keySchema.shape, secret: z.string().openapi({ description: 'Shown this once; the server keeps no more than its hash.' }) })
  .openapi('NewSecret');

/** Keys for programs and people beside the owner's own. Whoever may make keys could make any, so this is the owner's alone. */
export function keyRoutes({ store, clock, newId }: ServerParts, groups: () => readonly string[]): App {
  const router = newRouter();

  const require = async (idOrName: string): Promise<ApiKey> => {
    const key = await findKey(store.read, idOrName);
    if (key) return key;
    throw noSuchKey(idOrName);
  };

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'owner',
      path: '/keys',
      tags,
      summary: 'List the API keys, newest first; the owner’s own is none of them',
      responses: {
        200: json(
          z
            .object({ items: z.array(keySchema), scopes: z.array(z.string()).openapi({ description: 'What a key can be held to.' }) })
            .openapi('ApiKeys'),
          'Every key that there was.',
        ),
        ...answers(401, 503),
      },
    }),
    async (context) => {
      const now = clock.now();
      return context.json({ items: (await listKeys(store.read)).map((key) => keyView(key, now)), scopes: [...groups()] }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'owner',
      path: '/keys',
      tags,
      summary: 'Make an API key',
      request: { body: { required: true, content: { 'application/json': { schema: newKeySchema } } } },
      responses: { 201: json(withSecret, 'The key and its secret.'), ...answers(400, 401, 409, 413, 415, 422, 503) },
    }),
    async (context) => {
      const { name, role, scopes = null, expiresAt } = context.req.valid('json');
      const now = clock.now();
      refuseUnknown(scopes ?? [], groups());
      const end = expiresAt === undefined ? now + defaultLifeMs : expiresAt === null ? null : Date.parse(expiresAt);
      if (end !== null && end <= now) throw new Refused(422, 'expired-already', 'expiresAt must lie in the future.');
      const key: ApiKey = {
        id: newId(idPrefixes.key),
        name,
        role,
        scopes: scopes && [...new Set(scopes)],
        createdBy: context.get('user'),
        createdAt: now,
        expiresAt: end,
        revokedAt: null,
        rotatedAt: null,
        oldSecretUntil: null,
        lastUsedAt: null,
      };
      const secret = newSecret();
      if (!(await store.write((tx) => insertKey(tx, key, digestOf(secret))))) {
        throw new Refused(409, 'name-taken', `There is a key ${name} already. Rotate or revoke it, or choose another name.`);
      }
      return context.json({ ...keyView(key, now), secret }, 201);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'owner',
      path: '/keys/{id}/rotate',
      tags,
      summary: 'Give a key a new secret; the old one is taken for a while yet',
      description: 'Browsers that were signed in with it are signed out. To end a secret that others have seen, say `graceSeconds: 0`.',
      request: { params: idParam, body: { required: true, content: { 'application/json': { schema: rotationSchema } } } },
      responses: { 200: json(withSecret, 'The key and its new secret.'), ...answers(400, 401, 404, 409, 413, 415, 503) },
    }),
    async (context) => {
      const known = await require(context.req.valid('param').id);
      const { id, revokedAt, name } = known;
      const { graceSeconds = defaultGraceSeconds } = context.req.valid('json');
      const now = clock.now();
      // A new secret would open nothing either.
      if (stateOf(known, now) === 'expired')
        throw new Refused(409, 'expired', `The key ${name} has expired. Revoke it, then make a new one.`);
      const secret = newSecret();
      const rotation = { hash: digestOf(secret), oldUntil: now + graceSeconds * 1_000, now };
      const key = revokedAt === null ? await store.write((tx) => rotateKey(tx, id, rotation)) : undefined;
      if (!key || key.revokedAt !== null) throw new Refused(409, 'revoked', `The key ${name} is revoked. Make a new one.`);
      return context.json({ ...keyView(key, now), secret }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'owner',
      path: '/keys/{id}/revoke',
      tags,
      summary: 'Revoke a key: at once, for ever, with its sessions and event streams',
      request: { params: idParam },
      responses: { 200: json(keySchema, 'The key as it is now.'), ...answers(401, 404, 413, 503) },
    }),
    async (context) => {
      const { id } = await require(context.req.valid('param').id);
      const now = clock.now();
      const key = await store.write((tx) => revokeKey(tx, id, now));
      if (!key) throw noSuchKey(id);
      return context.json(keyView(key, now), 200);
    },
  );
  return router;
}

const newSecret = (): string => `nsk_${randomBytes(32).toString('base64url')}`;

function refuseUnknown(scopes: readonly string[], groups: readonly string[]): void {
  const unknown = scopes.filter((scope) => !groups.includes(parseScope(scope)?.group ?? ''));
  if (unknown.length === 0) return;
  throw new Refused(
    422,
    'no-such-scope',
    `There is no scope ${unknown.map((each) => JSON.stringify(each)).join(', ')}. There are, each also with :read: ${groups.join(', ')}.`,
  );
}

const noSuchKey = (idOrName: string): Refused => new Refused(404, 'no-such-key', `There is no key ${JSON.stringify(idOrName)}.`);
