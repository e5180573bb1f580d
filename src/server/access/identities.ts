import { type ApiKey, parseScope, stateOf } from '../../domain/access.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { findKeyByHash, findSession, saveLastUse } from '../../store/access.ts';
import type { Store } from '../../store/store.ts';
import { type Caller, type Credential, digestOf, owner } from './caller.ts';
import type { Sessions } from './sessions.ts';

/** Whose a credential is at this moment. */
export interface Identities {
  /** Without asking the store: the owner's key, and whoever was here within the last seconds. Undefined says nothing. */
  recall(credential: Credential): Caller | undefined;
  /** Undefined when it is nobody's, or not any more. Rejects when the store does not answer. */
  identify(credential: Credential): Promise<Caller | undefined>;
  stop(): void;
}

/** What was found is asked for again after this, should the news that it has changed be lost. */
const rememberMs = 5_000;
const rememberLimit = 1_000;
const lastUseMs = 60_000;

interface Remembered {
  readonly caller: Caller;
  readonly askAgainAt: number;
}

interface IdentityParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly sessions: Pick<Sessions, 'read'>;
  readonly ownerKey: () => string;
}

export function createIdentities({ store, clock, log, sessions, ownerKey }: IdentityParts): Identities {
  const remembered = new Map<string, Remembered>();
  /** Of everything that may make an answer untrue that is still on its way from the store. */
  let generation = 0;
  const forget = (): void => {
    generation += 1;
    remembered.clear();
  };
  const unsubscribe = store.onCommit((topic) => {
    if (topic === 'access') forget();
  });

  let ownerSecret = '';
  let ownerDigest = '';
  /** Looked at each time: the key may be replaced under a running server, and every session hangs on it. */
  const isOwner = (credential: Credential): boolean => {
    const current = ownerKey();
    if (current !== ownerSecret) {
      ownerSecret = current;
      ownerDigest = digestOf(current);
      forget();
    }
    // How long it takes to compare digests tells nothing of a key: nobody can choose how the digest of a guess begins.
    return credential.kind === 'key' && credential.digest === ownerDigest;
  };

  const lastUses = new Map<string, number>();
  const used = ({ keyId }: Caller): void => {
    const now = clock.now();
    if (keyId === null || now - (lastUses.get(keyId) ?? Number.NEGATIVE_INFINITY) < lastUseMs) return;
    lastUses.set(keyId, now);
    store
      .write((tx) => saveLastUse(tx, keyId, now))
      .catch((error: unknown) => log.warn({ err: error }, 'could not note that a key was used'));
  };

  const recall = (credential: Credential): Caller | undefined => {
    if (isOwner(credential)) return { ...owner, session: null };
    const known = remembered.get(nameOf(credential));
    if (!known || known.caller.goodUntil <= clock.now() || known.askAgainAt <= clock.monotonic()) return undefined;
    used(known.caller);
    return known.caller;
  };

  async function find(credential: Credential): Promise<Caller | undefined> {
    if (credential.kind === 'key') {
      const found = await findKeyByHash(store.read, credential.digest);
      if (!found) return undefined;
      const goodUntil = Math.min(endOf(found.key), found.isOld ? (found.key.oldSecretUntil ?? 0) : Number.POSITIVE_INFINITY);
      return { ...callerOf(found.key), goodUntil, session: null };
    }
    const id = await sessions.read(credential.token);
    const session = id === undefined ? undefined : await findSession(store.read, id);
    if (!session) return undefined;
    const { key, expiresAt } = session;
    return {
      ...(key ? callerOf(key) : owner),
      session: { id: session.id, expiresAt },
      goodUntil: Math.min(expiresAt, key ? endOf(key) : Number.POSITIVE_INFINITY),
    };
  }

  return {
    recall,
    async identify(credential) {
      const known = recall(credential);
      if (known) return known;
      const asked = generation;
      const found = await find(credential);
      if (!found || found.goodUntil <= clock.now()) return undefined;
      if (asked === generation) {
        if (remembered.size >= rememberLimit) remembered.clear();
        remembered.set(nameOf(credential), { caller: found, askAgainAt: clock.monotonic() + rememberMs });
      }
      used(found);
      return found;
    },
    stop: unsubscribe,
  };
}

/** Tokens have dots, digests have none. */
const nameOf = (credential: Credential): string => (credential.kind === 'key' ? credential.digest : credential.token);

const endOf = (key: ApiKey): number => (stateOf(key, 0) === 'revoked' ? 0 : (key.expiresAt ?? Number.POSITIVE_INFINITY));

const callerOf = ({ id, name, role, scopes, rotatedAt }: ApiKey): Omit<Caller, 'session' | 'goodUntil'> => ({
  user: name,
  role,
  scopes: scopes?.flatMap((scope) => parseScope(scope) ?? []) ?? null,
  keyId: id,
  rotatedAt,
});
