import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { regularly } from '../../platform/regularly.ts';
import type { Store } from '../../store/store.ts';
import type { Credential } from './caller.ts';
import type { Identities } from './identities.ts';

/** Answers that go on for as long as somebody listens end with the credential that opened them. */
export interface OpenStreams {
  /** Calls `end` when the credential is nobody's any more. To be called off with the answer when the stream is over. */
  whileAdmitted(credential: Credential, end: () => void): () => void;
  stop(): Promise<void>;
}

/** The owner's key changes without news, and news may be lost. */
const lookMs = 2_000;

interface Watched {
  readonly credential: Credential;
  readonly ends: Set<() => void>;
}

export function openStreams(parts: {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly identities: Pick<Identities, 'identify'>;
}): OpenStreams {
  const { store, clock, log, identities } = parts;
  const watched = new Map<string, Watched>();
  const failed = (error: unknown): void => log.warn({ err: error }, 'could not look whether event streams may go on; trying again');

  async function look(): Promise<void> {
    for (const [name, { credential, ends }] of [...watched]) {
      if (await identities.identify(credential)) continue;
      watched.delete(name);
      for (const end of [...ends]) end();
    }
  }

  const unsubscribe = store.onCommit((topic) => {
    if (topic === 'access' && watched.size > 0) void look().catch(failed);
  });
  const looking = regularly(clock, lookMs, look, failed);

  return {
    whileAdmitted(credential, end) {
      const name = credential.kind === 'key' ? credential.digest : credential.token;
      const entry = watched.get(name) ?? { credential, ends: new Set() };
      watched.set(name, entry);
      entry.ends.add(end);
      return () => {
        entry.ends.delete(end);
        if (entry.ends.size === 0 && watched.get(name) === entry) watched.delete(name);
      };
    },
    async stop() {
      unsubscribe();
      await looking.stop();
    },
  };
}
