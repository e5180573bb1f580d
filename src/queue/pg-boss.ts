import { PgBoss } from 'pg-boss';
import { type Priority, priorities, rankOf } from '../domain/task.ts';
import { executorOn } from '../store/postgres.ts';
import type { Store } from '../store/store.ts';
import type { Line } from './queue.ts';

const queueName = 'tasks';
const noJob = '00000000-0000-0000-0000-000000000000';

/**
 * pg-boss sorts by a 32-bit priority, highest first, then by age. Each of our priorities gets a band of it, in which the
 * seconds since this moment (2026-01-01) count down; a band lasts for 44 years.
 */
const epochMs = 1_767_225_600_000;
const bandTop: Readonly<Record<Priority, number>> = { high: 2_100_000_000, medium: 700_000_000, low: -700_000_000 };

function bossPriority(rank: number): number {
  const priority = priorities.findLast((each) => rank >= rankOf(each, 0)) ?? 'high';
  return bandTop[priority] - Math.max(0, Math.floor((rank - rankOf(priority, 0) - epochMs) / 1_000));
}

/**
 * The line on PostgreSQL: one pg-boss job per queued or running task, with the task's own id.
 * It serves the order and lets nodes fetch without meeting. States, retries, delays and leases stay with our
 * transitions, the same as on SQLite, so jobs are deleted when their task leaves the line and pg-boss's own
 * supervision has nothing to do.
 */
export async function pgBossLine(store: Store, report: (error: Error) => void): Promise<Line> {
  const boss = new PgBoss({ db: executorOn(store.read), schema: 'pgboss', supervise: false, schedule: false });
  boss.on('error', report);
  // Nodes that start together on an empty database would trip over each other in making pg-boss's tables.
  await store.write(async (tx) => {
    await tx.lock('queue-schema');
    await boss.start();
    await boss.createQueue(queueName, { policy: 'standard', retryLimit: 0, expireInSeconds: 86_399 });
  });
  // pg-boss looks a queue up at its first use and then knows it. It does so with a connection of its own, so that must not
  // be left to the transactions that use it: many at once would each hold one connection and wait for another.
  await boss.deleteJob(queueName, noJob);

  return {
    async offer(tx, entries) {
      if (entries.length === 0) return;
      await boss.insert(
        queueName,
        entries.map(({ taskId, rank }) => ({ id: jobId(taskId), priority: bossPriority(rank) })),
        { db: executorOn(tx.db) },
      );
    },
    async withdraw(tx, taskIds) {
      if (taskIds.length === 0) return;
      await boss.deleteJob(queueName, taskIds.map(jobId), { db: executorOn(tx.db) });
    },
    async take(tx, limit, below) {
      const jobs = await boss.fetch(queueName, {
        batchSize: limit,
        db: executorOn(tx.db),
        ...(below === undefined ? {} : { maxPriority: bandTop[below] }),
      });
      return jobs.map(({ id }) => taskId(id));
    },
    stop: () => boss.stop({ graceful: false, close: false }),
  };
}

const base32 = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** A task id is 128 bits in base 32, a job id the same bits as a UUID. */
export function jobId(task: string): string {
  let bits = 0n;
  for (const digit of task.slice(4)) bits = (bits << 5n) | BigInt(base32.indexOf(digit));
  const hex = bits.toString(16).padStart(32, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function taskId(job: string): string {
  let bits = BigInt(`0x${job.replaceAll('-', '')}`);
  let digits = '';
  for (let i = 0; i < 26; i++) {
    digits = base32[Number(bits & 31n)] + digits;
    bits >>= 5n;
  }
  return `tsk_${digits}`;
}
