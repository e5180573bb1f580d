import { hash } from 'node:crypto';
import type { Role, Scope } from '../../domain/access.ts';
import type { Trust } from '../../domain/task.ts';

/** What a request shows to say who sent it. Of a key only its digest goes on from here. */
export type Credential = KeyCredential | { readonly kind: 'session'; readonly token: string };

export interface KeyCredential {
  readonly kind: 'key';
  readonly digest: string;
}

/** Who sent a request, and what they may. */
export interface Caller {
  /** `owner`, or the name of a key. */
  readonly user: string;
  readonly role: Role;
  /** Null: everything that the role may. */
  readonly scopes: readonly Scope[] | null;
  /** Null: the owner's own key. */
  readonly keyId: string | null;
  /** When the key got the secret that it has; null for its first, and for the owner's own. */
  readonly rotatedAt: number | null;
  /** When what was shown ends by itself: nothing that it opens lasts longer. */
  readonly goodUntil: number;
  /** There when a browser's cookie opened the door. */
  readonly session: { readonly id: string; readonly expiresAt: number } | null;
}

export const owner = {
  user: 'owner',
  role: 'owner',
  scopes: null,
  keyId: null,
  rotatedAt: null,
  goodUntil: Number.POSITIVE_INFINITY,
} as const satisfies Omit<Caller, 'session'>;

/** Also how secrets are kept: 256 bits of chance need no slow hash, because nobody finds such a one by trying. */
export const digestOf = (secret: string): string => hash('sha256', secret, 'hex');

export const keyCredential = (secret: string): KeyCredential => ({ kind: 'key', digest: digestOf(secret) });

/**
 * How far the work that somebody submits is trusted. Only the owner's runs bare and reads directories of this machine: whoever
 * may run any command here may read the owner's key, and would be the owner.
 */
export const trustIn = (caller: Caller | undefined): Trust => (caller?.role === 'owner' ? 'owner' : 'known');
