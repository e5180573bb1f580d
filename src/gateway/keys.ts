import { createHash } from 'node:crypto';
import { backoffMs } from '../domain/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import type { Provider } from './providers/provider.ts';

/** A key as it may be shown. */
export interface KeyState {
  /** Stable, and nothing can be learnt from it; null where there is no key. */
  readonly id: string | null;
  readonly state: 'ok' | 'limited' | 'rejected';
  /** Until when it is left alone, on the wall's clock. */
  readonly until: number | null;
}

export interface Key {
  readonly id: string | null;
  readonly provider: Provider;
}

/** The keys of one provider, in the order of the settings. Times are the monotonic clock's. */
export interface Keys {
  /**
   * The key to use: the first that works, since what a provider caches belongs to the account. One that was rejected is
   * used again when its time has come, or when there is no other. From `at` on, which may lie ahead. Undefined when all
   * were `tried`.
   */
  next(tried: ReadonlySet<Key>): { readonly key: Key; readonly at: number } | undefined;
  worked(key: Key): void;
  /** Too much was asked of it. Without a time worth the name, a growing one. */
  limited(key: Key, forMs: number | undefined): void;
  rejected(key: Key): void;
  /** All are as good as new. */
  forgive(): void;
  list(): readonly KeyState[];
  close(): void;
}

type Closable = Provider & { close?(): void };

interface Known {
  readonly key: Key & { readonly provider: Closable };
  readonly secret: string;
  state: KeyState['state'];
  until: number;
  /** How often in a row it was limited or rejected. */
  times: number;
}

/** A provider that says "at once" and limits again is not asked in a tight circle. */
const shortestMs = 100;
const limits = { baseMs: 1_000, capMs: 60_000 };
/** A rejected key may come right by itself: an account is topped up, a key is activated. */
const rejections = { baseMs: 300_000, capMs: 3_600_000 };

/** `secrets` is asked before each use, so that keys come and go without a restart. */
export function createKeys(parts: {
  readonly provider: string;
  readonly secrets: () => readonly string[];
  readonly connect: (secret: string) => Closable;
  readonly clock: Clock;
  readonly chance: () => number;
}): Keys {
  const { clock, chance } = parts;
  let secrets: readonly string[] = [];
  let known: readonly Known[] = [];
  const current = (): readonly Known[] => {
    const latest = parts.secrets();
    if (latest === secrets) return known;
    const next = latest.map(
      (secret): Known =>
        known.find((each) => each.secret === secret) ?? {
          key: { id: keyIdOf(parts.provider, secret), provider: parts.connect(secret) },
          secret,
          state: 'ok',
          until: 0,
          times: 0,
        },
    );
    // A key that went away is not closed: calls with it may be under way, and idle connections hold nothing up.
    secrets = latest;
    known = next;
    return known;
  };
  const find = (key: Key): Known | undefined => known.find((each) => each.key === key);
  const setBack = (key: Key, state: 'limited' | 'rejected', ms: (times: number) => number): void => {
    const found = find(key);
    if (!found) return;
    const now = clock.monotonic();
    // Many calls at once may hear the same thing: that is one occurrence.
    const again = found.state === state && found.until > now;
    if (!again) found.times += 1;
    found.until = Math.max(again ? found.until : 0, now + ms(found.times));
    found.state = state;
  };
  return {
    next(tried) {
      const now = clock.monotonic();
      const left = current().filter(({ key }) => !tried.has(key));
      const usable = left.filter(({ state, until }) => state !== 'rejected' || until <= now);
      const soonest = usable.toSorted((a, b) => Math.max(a.until, now) - Math.max(b.until, now))[0];
      if (soonest) return { key: soonest.key, at: soonest.until };
      const worst = left.toSorted((a, b) => a.until - b.until)[0];
      return worst && { key: worst.key, at: 0 };
    },
    worked(key) {
      const found = find(key);
      if (found) restore(found);
    },
    forgive: () => known.forEach(restore),
    limited: (key, forMs = 0) => setBack(key, 'limited', (times) => (forMs >= shortestMs ? forMs : backoffMs(times, chance(), limits))),
    rejected: (key) => setBack(key, 'rejected', (times) => Math.min(rejections.capMs, rejections.baseMs * 2 ** (times - 1))),
    list() {
      const now = clock.monotonic();
      return current().map(({ key, state, until }) => {
        const over = state === 'limited' && until <= now;
        return {
          id: key.id,
          state: over ? 'ok' : state,
          until: state === 'ok' || over ? null : Math.round(clock.now() + Math.max(0, until - now)),
        };
      });
    },
    close() {
      for (const { key } of known) key.provider.close?.();
    },
  };
}

function restore(key: Known): void {
  key.state = 'ok';
  key.until = 0;
  key.times = 0;
}

const keyIdOf = (provider: string, secret: string): string | null =>
  secret === '' ? null : `${provider}:${createHash('sha256').update(`${provider} ${secret}`).digest('hex').slice(0, 8)}`;
