import { z } from '@hono/zod-openapi';
import { type ApiKey, type AuditEntry, roles, stateOf } from '../../domain/access.ts';
import { iso } from './values.ts';

const scopesSchema = z.array(z.string()).nullable().openapi({ description: 'Like `tasks:read`; null for everything that the role may.' });

export const sessionSchema = z
  .object({
    user: z.string(),
    role: z.enum(roles),
    scopes: scopesSchema,
    expiresAt: z.iso.datetime().nullable().openapi({ description: 'When the session ends; null for a key.' }),
  })
  .openapi('Session');

export const keySchema = z
  .object({
    id: z.string().openapi({ example: 'key_01KEXAMPLE000000000000000' }),
    name: z.string(),
    state: z.enum(['active', 'expired', 'revoked']),
    role: z.enum(roles),
    scopes: scopesSchema,
    createdBy: z.string(),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime().nullable(),
    lastUsedAt: z.iso.datetime().nullable().openapi({ description: 'To the minute.' }),
    rotatedAt: z.iso.datetime().nullable(),
    oldSecretUntil: z.iso.datetime().nullable().openapi({ description: 'Until then the secret of before the rotation is taken as well.' }),
    revokedAt: z.iso.datetime().nullable(),
  })
  .openapi('ApiKey');

export const auditSchema = z
  .object({
    at: z.iso.datetime(),
    user: z.string().nullable().openapi({ description: '`owner`, or the name of a key; null when nobody was recognised.' }),
    role: z.enum(roles).nullable(),
    keyId: z.string().nullable(),
    sessionId: z.string().nullable(),
    address: z.string(),
    action: z.string().openapi({ example: 'POST /api/tasks/{id}/cancel' }),
    target: z.string().openapi({ description: 'The path that was asked for.' }),
    outcome: z.string().openapi({ description: '`done`, or the code of the refusal.' }),
    count: z.number().int().openapi({ description: 'Refusals alike share a line.' }),
    requestId: z.string(),
  })
  .openapi('AuditLine');

export const keyView = (key: ApiKey, now: number): z.infer<typeof keySchema> => ({
  id: key.id,
  name: key.name,
  state: stateOf(key, now),
  role: key.role,
  scopes: key.scopes === null ? null : [...key.scopes],
  createdBy: key.createdBy,
  createdAt: new Date(key.createdAt).toISOString(),
  expiresAt: iso(key.expiresAt),
  lastUsedAt: iso(key.lastUsedAt),
  rotatedAt: iso(key.rotatedAt),
  oldSecretUntil: iso(key.oldSecretUntil),
  revokedAt: iso(key.revokedAt),
});

export const auditView = ({
  at,
  user,
  role,
  keyId,
  sessionId,
  address,
  action,
  target,
  outcome,
  count,
  requestId,
}: AuditEntry): z.infer<typeof auditSchema> => ({
  at: new Date(at).toISOString(),
  user,
  role,
  keyId,
  sessionId,
  address,
  action,
  target,
  outcome,
  count,
  requestId,
});
