import { firstInLine } from '../store/tasks.ts';
import type { Line } from './queue.ts';

/**
 * The tasks table is the line: an index over the queued ones, in order. Being queued is standing in it,
 * and the single writer keeps two claims from meeting.
 */
export const sqliteLine: Line = {
  offer: async () => undefined,
  withdraw: async () => undefined,
  take: (tx, limit, below, taken) => firstInLine(tx.db, limit, below, taken),
  stop: async () => undefined,
};
