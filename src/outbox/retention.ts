import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { type Regular, regularly } from '../platform/regularly.ts';
import { dropBodies } from '../store/inbox.ts';
import { dropSentBodies } from '../store/outbox.ts';
import type { Store } from '../store/store.ts';

export interface RetentionParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly keepMs: number;
}

const everyMs = 3_600_000;
const atOnce = 1_000;

/**
 * Drops what old mail said, in and out. That it was here stays known for ever, in a few hundred bytes each; what failed or
 * still waits keeps its body until a person has seen to it.
 */
export const forgetOldMail = (parts: RetentionParts): Regular =>
  regularly(
    parts.clock,
    everyMs,
    (stopping) => dropOld(parts, stopping),
    (error) => parts.log.warn({ err: error }, 'could not drop old bodies of deliveries and messages; trying again in an hour'),
  );

async function dropOld({ store, clock, log, keepMs }: RetentionParts, stopping: AbortSignal): Promise<void> {
  const before = clock.now() - keepMs;
  const counts = { deliveries: 0, messages: 0 };
  for (const [what, drop] of [
    ['deliveries', dropBodies],
    ['messages', dropSentBodies],
  ] as const) {
    for (let some = atOnce; some === atOnce && !stopping.aborted; counts[what] += some) {
      some = await store.write((tx) => drop(tx, before, atOnce));
    }
  }
  if (counts.deliveries + counts.messages > 0) log.info(counts, 'old mail lost its bodies');
}
