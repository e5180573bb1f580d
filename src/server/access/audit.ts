import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context, MiddlewareHandler } from 'hono';
import type { AuditEntry } from '../../domain/access.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { regularly } from '../../platform/regularly.ts';
import { appendAudit } from '../../store/audit.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { AppEnv } from '../env.ts';
import type { AddressOf } from './address.ts';

/**
 * Who changed what, and who was refused. A change is on the log with the change itself: the first transaction of a request
 * that makes news carries the line. What makes none (a code for a login link, a profile) gets its line before the answer.
 * Refusals cannot be kept with anything, and anybody can cause them without end, so those alike share a line.
 */
export interface Audit {
  /** The store for everything that acts on behalf of requests. */
  readonly store: Store;
  readonly record: MiddlewareHandler<AppEnv>;
  /** Writes down what is still gathered. */
  stop(): Promise<void>;
}

interface AuditParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly addressOf: AddressOf;
}

/** A change under way, from the request to its commit. */
interface Change {
  line(): AuditEntry | undefined;
  state: 'open' | 'writing' | 'over';
}

export function createAudit({ store, clock, log, addressOf }: AuditParts): Audit {
  // The alternative is a further argument of everything between a route and its transaction, all for this.
  const current = new AsyncLocalStorage<Change>();
  const refusals = gatherRefusals({ store, clock, log });

  async function write<T>(change: (tx: Tx) => Promise<T>): Promise<T> {
    // A store that commits several changes together runs them all in the context of whoever came first.
    const asCaller = AsyncLocalStorage.snapshot();
    const carried = new Set<Change>();
    const give = (state: 'open' | 'over'): void => {
      // One whose request has come to its end meanwhile stays where it is.
      for (const each of carried) if (each.state === 'writing') each.state = state;
      carried.clear();
    };
    try {
      const result = await store.write(async (tx) => {
        give('open'); // it is run again
        const lines: AuditEntry[] = [];
        const result = await asCaller(change, {
          ...tx,
          touch(topic) {
            // Asked at the news itself, for one transaction may hold what several requests have asked for.
            const request = current.getStore();
            const line = request?.state === 'open' ? request.line() : undefined;
            if (request && line) {
              request.state = 'writing';
              carried.add(request);
              lines.push(line);
            }
            tx.touch(topic);
          },
        });
        if (lines.length > 0) await appendAudit(tx, lines);
        return result;
      });
      give('over');
      return result;
    } catch (error) {
      // Whatever the change had done so far is undone, and the lines with it.
      give('open');
      throw error;
    }
  }

  const lineOf = (context: Context<AppEnv>, action: string, outcome: string): AuditEntry => {
    const caller = context.get('caller');
    return {
      at: clock.now(),
      user: caller?.user ?? null,
      role: caller?.role ?? null,
      keyId: caller?.keyId ?? null,
      sessionId: caller?.session?.id ?? null,
      address: addressOf(context).full,
      action,
      // Whoever knocks chooses it, and not every text is one that PostgreSQL takes.
      target: encodeURI(context.req.path.toWellFormed()).slice(0, 300),
      outcome,
      count: 1,
      requestId: context.get('requestId'),
    };
  };

  return {
    store: {
      dialect: store.dialect,
      read: store.read,
      write,
      ping: () => store.ping(),
      onCommit: (listener) => store.onCommit(listener),
      close: () => store.close(),
    },

    async record(context, next) {
      const requirement = context.get('requirement');
      const reads = requirement === undefined || !requirement.write;
      const change: Change = {
        line: () => (context.get('caller') ? lineOf(context, requirement?.action ?? '', 'done') : undefined),
        state: 'open',
      };
      await (reads ? next() : current.run(change, next));
      const refusal = context.get('refusal');
      if (refusal !== undefined) {
        if (isWorthALine(refusal, reads)) refusals.add(lineOf(context, requirement?.action ?? context.req.method, refusal));
      } else if (!reads && change.state === 'open') {
        const line = change.line();
        if (line)
          await store.write((tx) => appendAudit(tx, [line])).catch((error: unknown) => log.error({ err: error, line }, 'not audited'));
      }
      // What the request set in motion and goes on after it is not its doing any more.
      change.state = 'over';
    },

    stop: refusals.stop,
  };
}

/** Whoever looks around without a key, or for what is not there, has tried nothing. */
const isWorthALine = (refusal: string, reads: boolean): boolean =>
  reads ? ['wrong-key', 'role-needed', 'scope-needed', 'foreign-page', 'too-many-tries', 'too-many-requests'].includes(refusal) : true;

const flushMs = 1_000;
/** So many lines a minute at most, whatever comes. */
const linesAMinute = 60;
/** So many kinds are told apart; the rest is one more. */
const kindLimit = 200;

/** Refusals alike (the same who, from where, for what and why) are counted until their line is written. */
function gatherRefusals({ store, clock, log }: Pick<AuditParts, 'store' | 'clock' | 'log'>) {
  let gathered = new Map<string, AuditEntry>();
  /** Of what was written within this minute; more of the same waits for the next. */
  let written = new Set<string>();
  let minute = clock.monotonic();

  const nameOf = ({ user, address, action, outcome }: AuditEntry): string => JSON.stringify([user, address, action, outcome]);

  async function flush(everything = false): Promise<void> {
    if (clock.monotonic() - minute >= 60_000) {
      minute = clock.monotonic();
      written = new Set();
    }
    const lines = everything
      ? [...gathered]
      : [...gathered].filter(([name]) => !written.has(name)).slice(0, Math.max(0, linesAMinute - written.size));
    if (lines.length === 0) return;
    for (const [name] of lines) {
      gathered.delete(name);
      written.add(name);
    }
    try {
      await store.write((tx) =>
        appendAudit(
          tx,
          lines.map(([, line]) => line),
        ),
      );
    } catch (error) {
      for (const [name, line] of lines) {
        written.delete(name);
        gathered.set(name, { ...line, count: line.count + (gathered.get(name)?.count ?? 0) });
      }
      throw error;
    }
  }

  const failed = (error: unknown): void => log.warn({ err: error }, 'refusals could not be written to the audit log');
  const flushing = regularly(clock, flushMs, () => flush(), failed);

  return {
    add(line: AuditEntry): void {
      const own = nameOf(line);
      const known = gathered.get(own);
      if (known || gathered.size < kindLimit) return void gathered.set(own, { ...(known ?? line), count: (known?.count ?? 0) + 1 });
      const other = {
        ...line,
        user: null,
        role: null,
        keyId: null,
        sessionId: null,
        address: 'several',
        action: 'several',
        target: 'several',
      };
      const name = nameOf(other);
      const others = gathered.get(name);
      gathered.set(name, { ...(others ?? other), count: (others?.count ?? 0) + 1 });
    },
    async stop(): Promise<void> {
      await flushing.stop();
      await flush(true).catch(failed);
      gathered = new Map();
    },
  };
}
