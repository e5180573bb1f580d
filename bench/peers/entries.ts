import type { AppendSync } from '../support/redis.ts';

/** What races, and under which setting it promises what. */
export interface Entry {
  readonly id: EntryId;
  readonly name: string;
  readonly needs: 'nothing' | 'postgres' | { readonly redis: AppendSync };
  readonly durability: string;
  readonly remark: string;
  /** Of the tasks that the others run; 1 unless it is slow by design. */
  readonly share?: number;
}

export type EntryId =
  | 'sqlite'
  | 'sqlite-runner'
  | 'postgres'
  | 'graphile-plain'
  | 'graphile-batched'
  | 'pg-boss'
  | 'pg-boss-500'
  | 'bullmq-always'
  | 'bullmq-everysec';

const onPostgres = 'fsync on, synchronous_commit on';

export const entries: readonly Entry[] = [
  { id: 'sqlite', name: 'Nightshift, SQLite', needs: 'nothing', durability: 'WAL, synchronous=FULL', remark: 'task, run and journal' },
  {
    id: 'sqlite-runner',
    name: 'Nightshift, SQLite, whole runner',
    needs: 'nothing',
    durability: 'WAL, synchronous=FULL',
    remark: 'with each run a directory, an output file, and two looks for leftover processes; a tenth of the tasks',
    share: 0.1,
  },
  {
    id: 'postgres',
    name: 'Nightshift, PostgreSQL',
    needs: 'postgres',
    durability: onPostgres,
    remark: 'task, run, journal and pg-boss job',
  },
  { id: 'graphile-plain', name: 'graphile-worker', needs: 'postgres', durability: onPostgres, remark: 'defaults' },
  {
    id: 'graphile-batched',
    name: 'graphile-worker, batched',
    needs: 'postgres',
    durability: onPostgres,
    remark: 'localQueue 500, completeJobBatchDelay 0: locks 500 ahead',
  },
  { id: 'pg-boss', name: 'pg-boss, batchSize 16', needs: 'postgres', durability: onPostgres, remark: 'as many in hand as slots' },
  { id: 'pg-boss-500', name: 'pg-boss, batchSize 500', needs: 'postgres', durability: onPostgres, remark: '500 in hand' },
  {
    id: 'bullmq-always',
    name: 'BullMQ',
    needs: { redis: 'always' },
    durability: 'appendonly yes, appendfsync always',
    remark: 'as durable as the others',
  },
  {
    id: 'bullmq-everysec',
    name: 'BullMQ, everysec',
    needs: { redis: 'everysec' },
    durability: 'appendonly yes, appendfsync everysec',
    remark: 'WEAKER: may lose a second of acknowledged work',
  },
];
