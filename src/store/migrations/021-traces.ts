import type { Migration } from './migration.ts';

/** Which request asked for a task, in the words of W3C Trace Context. Only where traces are kept. */
export const traces: Migration = {
  name: 'traces',
  statements: () => [`create table task_traces (task_id text primary key references tasks (id), traceparent text not null)`],
};
