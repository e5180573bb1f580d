import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../platform/clock.ts';
import type { Caller } from './caller.ts';

/** What lets one run, and nobody else, make model calls while it lasts. Only hashes are kept; a restart ends them all. */
export interface Credentials {
  /** A new credential for a run. An earlier one of the same run stops working. */
  issue(caller: Caller): string;
  revoke(runId: string): void;
  /** Whom a presented credential belongs to, or undefined; which of the many reasons is nobody's business. */
  check(presented: string | undefined): Caller | undefined;
}

interface Issued {
  readonly caller: Caller;
  readonly hash: Buffer;
  readonly endsAt: number;
}

const prefix = 'nsr.';
const dayMs = 86_400_000;

/** A credential that is not used for `lifeMs` ends by itself, should nobody revoke it. A run that waits may last for days. */
export function createCredentials(clock: Clock, lifeMs = dayMs): Credentials {
  const issued = new Map<string, Issued>();
  return {
    issue(caller) {
      const { runId } = caller;
      const credential = `${prefix}${runId}.${randomBytes(32).toString('base64url')}`;
      issued.set(runId, { caller, hash: hashOf(credential), endsAt: clock.monotonic() + lifeMs });
      return credential;
    },
    revoke(runId) {
      issued.delete(runId);
    },
    check(presented) {
      const runId = runNamedIn(presented);
      if (presented === undefined || runId === undefined) return undefined;
      const known = issued.get(runId);
      if (!known || !timingSafeEqual(known.hash, hashOf(presented))) return undefined;
      const now = clock.monotonic();
      if (known.endsAt <= now) {
        issued.delete(runId);
        return undefined;
      }
      issued.set(runId, { ...known, endsAt: now + lifeMs });
      return known.caller;
    },
  };
}

function runNamedIn(presented: string | undefined): string | undefined {
  return presented?.startsWith(prefix) && presented.length < 200 ? presented.slice(prefix.length).split('.')[0] : undefined;
}

const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();
