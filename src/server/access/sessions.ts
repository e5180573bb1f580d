import { createHmac, randomBytes } from 'node:crypto';
import { sign, verify } from 'hono/jwt';
import { idPrefixes } from '../../domain/id.ts';
import type { Clock } from '../../platform/clock.ts';
import type { NewId } from '../../platform/ids.ts';
import { endSession, insertSession } from '../../store/access.ts';
import type { Store } from '../../store/store.ts';
import type { Caller } from './caller.ts';

/** On whose behalf a session is: of the owner, or of a key as it was then. */
export type Holder = Pick<Caller, 'user' | 'keyId' | 'rotatedAt' | 'goodUntil'>;

/**
 * How a browser is signed in, and how it gets there from a link. A session is a row in the store and a signed token that
 * names it: the token cannot be made up, and without its row it is worth nothing, so that signing out ends it everywhere.
 * A code is a promise of a session, good once, for a short time, at the server that gave it.
 * All of them hang on the owner's key: a rotated key ends them at once. So does that of whoever holds them, and a secret
 * that is taken for a while yet opens nothing for longer.
 */
export interface Sessions {
  /** Undefined when the key has been rotated or revoked since. */
  open(holder: Holder): Promise<{ readonly token: string; readonly id: string; readonly expiresAt: number } | undefined>;
  /** Which session a token names, or undefined when it was made up, tampered with, has expired, or the owner's key is another. */
  read(token: string): Promise<string | undefined>;
  end(id: string): Promise<void>;
  issueCode(holder: Holder): { readonly code: string; readonly expiresAt: number };
  /** Whose code it is. It is worth nothing afterwards. */
  redeem(code: string): Holder | undefined;
}

const sessionMs = 7 * 24 * 3_600_000;
const codeMs = 15 * 60_000;
/** A program that asks for codes without end makes the oldest worthless, and no more. */
const codeLimit = 100;

interface Promised {
  readonly holder: Holder;
  readonly expiresAt: number;
  readonly secret: string;
}

export function createSessions(
  ownerKey: () => string,
  parts: { readonly store: Store; readonly clock: Clock; readonly newId: NewId },
): Sessions {
  const { store, clock, newId } = parts;
  const codes = new Map<string, Promised>();
  const secret = (): string => createHmac('sha256', ownerKey()).update('nightshift session').digest('base64url');

  return {
    async open({ user, keyId, rotatedAt, goodUntil }) {
      const createdAt = Math.floor(clock.now() / 1_000) * 1_000;
      const expiresAt = Math.floor(Math.min(createdAt + sessionMs, goodUntil) / 1_000) * 1_000;
      const session = { id: newId(idPrefixes.session), keyId, createdAt, expiresAt };
      if (!(await store.write((tx) => insertSession(tx, session, rotatedAt)))) return undefined;
      const claims = { sub: user, sid: session.id, iat: createdAt / 1_000, exp: session.expiresAt / 1_000 };
      return { token: await sign(claims, secret(), 'HS256'), id: session.id, expiresAt: session.expiresAt };
    },
    async read(token) {
      try {
        // The one algorithm that we sign with: what the token says of itself decides nothing. Times are held against our clock.
        const { sid, exp } = await verify(token, secret(), { alg: 'HS256', exp: false, iat: false, nbf: false });
        return typeof sid === 'string' && typeof exp === 'number' && exp * 1_000 > clock.now() ? sid : undefined;
      } catch {
        return undefined; // whatever is wrong with it, it is not one of ours
      }
    },
    end: (id) => store.write((tx) => endSession(tx, id)),
    issueCode(holder) {
      for (const [code, { expiresAt }] of codes) if (expiresAt <= clock.now() || codes.size >= codeLimit) codes.delete(code);
      const code = randomBytes(24).toString('base64url');
      const expiresAt = clock.now() + codeMs;
      codes.set(code, { holder, expiresAt, secret: secret() });
      return { code, expiresAt };
    },
    redeem(code) {
      const promised = codes.get(code);
      codes.delete(code);
      if (!promised || promised.expiresAt <= clock.now() || promised.secret !== secret()) return undefined;
      return promised.holder;
    },
  };
}
