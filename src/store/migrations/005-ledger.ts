import type { Dialect, Migration } from './migration.ts';

/** Compared as bytes, as everywhere. */
const id = (dialect: Dialect): string => (dialect === 'postgres' ? 'text collate "C"' : 'text');

const sums = `
  calls bigint not null,
  failed_calls bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cache_read_tokens bigint not null,
  cache_write_tokens bigint not null,
  cost_micro_usd bigint not null`;

export const ledger: Migration = {
  name: 'ledger',
  statements: (dialect) => [
    `create table token_ledger (
      id ${id(dialect)} primary key,
      at bigint not null,
      node_id text not null,
      run_id ${id(dialect)} not null,
      task_id text,
      conversation_id text,
      kind text not null,
      provider text,
      model text,
      key_id text,
      input_tokens bigint not null,
      output_tokens bigint not null,
      cache_read_tokens bigint not null,
      cache_write_tokens bigint not null,
      cost_micro_usd bigint not null,
      first_byte_ms integer,
      latency_ms integer,
      status integer,
      ended text not null,
      estimated integer not null
    )`,
    `create index token_ledger_by_run on token_ledger (run_id)`,

    // Sums that grow with each call, so that looking back costs nothing however long the ledger is. Of tasks there are
    // many, so they have sums of their own, without the rest.
    `create table usage_by_day (
      day ${id(dialect)} not null,
      kind text not null,
      provider text not null,
      model text not null,
      key_id text not null,${sums},
      primary key (day, kind, provider, model, key_id)
    )`,
    `create table usage_by_task (
      day ${id(dialect)} not null,
      task_id ${id(dialect)} not null,${sums},
      primary key (day, task_id)
    )`,

    // What a budget has paid and what calls under way may still cost it; a name such as day:2026-11-21 or run:run_…
    `create table budget_counters (
      id ${id(dialect)} primary key,
      spent bigint not null,
      reserved bigint not null,
      exhausted integer not null
    )`,
    `create table budget_reservations (
      id ${id(dialect)} primary key,
      at bigint not null,
      node_id text not null,
      run_id text not null,
      task_id text,
      conversation_id text,
      kind text not null,
      model text,
      input_tokens bigint not null,
      output_tokens bigint not null,
      micro_usd bigint not null
    )`,
    `create index budget_reservations_by_node on budget_reservations (node_id)`,
  ],
};
