import { createHmac, randomBytes } from 'node:crypto';
import { sign, verify } from 'hono/jwt';
import type { Clock } from '../platform/clock.ts';
import { type Role, roles } from './roles.ts';

export interface Session {
  readonly user: string;
  readonly role: Role;
  readonly expiresAt: number;
}

/**
 * How a browser is signed in, and how it gets there from a link. A session is a signed claim that every start of the server
 * understands; a code is a promise of one, good once, for a short time, at the server that gave it.
 * Both hang on the owner's key: a rotated key ends them at once.
 */
export interface Sessions {
  open(user: string, role: Role): Promise<{ readonly token: string; readonly session: Session }>;
  /** The session of a token, or undefined when it was made up, tampered with, has expired, or the key is another. */
  read(token: string): Promise<Session | undefined>;
  issueCode(user: string, role: Role): { readonly code: string; readonly expiresAt: number };
  /** Whose code it is. It is worth nothing afterwards. */
  redeem(code: string): { readonly user: string; readonly role: Role } | undefined;
}

const sessionMs = 7 * 24 * 3_600_000;
const codeMs = 15 * 60_000;
/** A program that asks for codes without end makes the oldest worthless, and no more. */
const codeLimit = 100;

export function createSessions(ownerKey: () => string, clock: Clock): Sessions {
  const codes = new Map<string, { readonly user: string; readonly role: Role; readonly expiresAt: number; readonly secret: string }>();
  const secret = (): string => createHmac('sha256', ownerKey()).update('nightshift session').digest('base64url');

  return {
    async open(user, role) {
      const now = Math.floor(clock.now() / 1_000);
      const session = { user, role, expiresAt: now * 1_000 + sessionMs };
      const token = await sign({ sub: user, role, iat: now, exp: session.expiresAt / 1_000 }, secret(), 'HS256');
      return { token, session };
    },
    async read(token) {
      try {
        // The one algorithm that we sign with: what the token says of itself decides nothing. Times are held against our clock.
        const { sub, role, exp } = await verify(token, secret(), { alg: 'HS256', exp: false, iat: false, nbf: false });
        if (typeof sub !== 'string' || typeof exp !== 'number' || exp * 1_000 <= clock.now()) return undefined;
        const known = roles.find((each) => each === role);
        return known && { user: sub, role: known, expiresAt: exp * 1_000 };
      } catch {
        return undefined; // whatever is wrong with it, it is not one of ours
      }
    },
    issueCode(user, role) {
      for (const [code, { expiresAt }] of codes) if (expiresAt <= clock.now() || codes.size >= codeLimit) codes.delete(code);
      const code = randomBytes(24).toString('base64url');
      const expiresAt = clock.now() + codeMs;
      codes.set(code, { user, role, expiresAt, secret: secret() });
      return { code, expiresAt };
    },
    redeem(code) {
      const promised = codes.get(code);
      codes.delete(code);
      if (!promised || promised.expiresAt <= clock.now() || promised.secret !== secret()) return undefined;
      return { user: promised.user, role: promised.role };
    },
  };
}
