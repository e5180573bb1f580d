/** Who may do what: each role may all that the one before it may. */
export const roles = ['viewer', 'operator', 'owner'] as const;
export type Role = (typeof roles)[number];

/** Whom a route asks for. `anyone` has shown no key, or is known by a signature. */
export const audiences = ['anyone', ...roles] as const;
type Audience = (typeof audiences)[number];

export const mayAct = (role: Role, needed: Role): boolean => roles.indexOf(role) >= roles.indexOf(needed);

/** What a route asks of whoever calls it. */
export interface Requirement {
  readonly audience: Audience;
  /** The group that a scope must name; null for what everybody may who is known. */
  readonly group: string | null;
  readonly write: boolean;
  /** `GET /api/tasks/{id}` */
  readonly action: string;
}

/** What a scope opens: a group of routes, to read or also to change. `tasks` is `tasks:write`, and writing includes reading. */
export interface Scope {
  readonly group: string;
  readonly write: boolean;
}

export function parseScope(text: string): Scope | undefined {
  const [, group, how] = /^([a-z][a-z-]{0,39})(?::(read|write))?$/.exec(text) ?? [];
  return group === undefined ? undefined : { group, write: how !== 'read' };
}

export const inScope = (scopes: readonly Scope[], group: string, write: boolean): boolean =>
  scopes.some((scope) => scope.group === group && (scope.write || !write));

export type KeyState = 'active' | 'expired' | 'revoked';

/** A key as it may be shown: its secret is known only to whom it was given. */
export interface ApiKey {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** Null: everything that its role may. */
  readonly scopes: readonly string[] | null;
  readonly createdBy: string;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  readonly rotatedAt: number | null;
  /** Until then the secret of before the last rotation is taken as well. */
  readonly oldSecretUntil: number | null;
  /** Kept to the minute. */
  readonly lastUsedAt: number | null;
}

export function stateOf({ revokedAt, expiresAt }: Pick<ApiKey, 'revokedAt' | 'expiresAt'>, now: number): KeyState {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && expiresAt <= now ? 'expired' : 'active';
}

/** One line of the audit log: who did what, from where, and what came of it. */
export interface AuditEntry {
  readonly at: number;
  /** Null when nobody was recognised. */
  readonly user: string | null;
  readonly role: Role | null;
  readonly keyId: string | null;
  readonly sessionId: string | null;
  readonly address: string;
  /** The route: `POST /api/tasks/{id}/cancel`. */
  readonly action: string;
  /** The path that was asked for. */
  readonly target: string;
  /** `done`, or the code of the refusal. */
  readonly outcome: string;
  /** How many alike were refused; they share one line. */
  readonly count: number;
  readonly requestId: string;
}
