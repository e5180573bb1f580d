import type { Kysely } from 'kysely';
import type { Alert } from '../domain/alert.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

export interface Silence {
  readonly name: string;
  readonly until: number;
  readonly by: string;
}

/** Everybody's, and those of one node. */
export async function alertsSeenBy(db: Kysely<Schema>, node: string): Promise<readonly Alert[]> {
  const rows = await db.selectFrom('alerts').selectAll().where('node', 'in', ['', node]).execute();
  return rows.map(toAlert);
}

export async function listAlerts(db: Kysely<Schema>): Promise<readonly Alert[]> {
  const rows = await db.selectFrom('alerts').selectAll().orderBy('since', 'desc').orderBy('name').execute();
  return rows.map(toAlert);
}

export async function saveAlert(tx: Tx, alert: Alert): Promise<void> {
  const { name, node, severity, title, text, since, raisedAt: raised_at, wellSince: well_since } = alert;
  const values = { severity, title, text, since, raised_at, well_since };
  await tx.db
    .insertInto('alerts')
    .values({ name, node, ...values })
    .onConflict((conflict) => conflict.columns(['name', 'node']).doUpdateSet(values))
    .execute();
}

export async function forgetAlert(tx: Tx, { name, node }: Pick<Alert, 'name' | 'node'>): Promise<void> {
  await tx.db.deleteFrom('alerts').where('name', '=', name).where('node', '=', node).execute();
}

export async function silences(db: Kysely<Schema>, now: number): Promise<readonly Silence[]> {
  const rows = await db.selectFrom('alert_silences').selectAll().where('until', '>', now).orderBy('name').execute();
  return rows.map(({ name, until, set_by }) => ({ name, until, by: set_by }));
}

export async function silence(tx: Tx, { name, until, by }: Silence): Promise<void> {
  await tx.db
    .insertInto('alert_silences')
    .values({ name, until, set_by: by })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ until, set_by: by }))
    .execute();
}

export async function unsilence(tx: Tx, name: string): Promise<void> {
  await tx.db.deleteFrom('alert_silences').where('name', '=', name).execute();
}

const toAlert = (row: Schema['alerts']): Alert => ({
  name: row.name,
  node: row.node,
  severity: row.severity,
  title: row.title,
  text: row.text,
  since: row.since,
  raisedAt: row.raised_at,
  wellSince: row.well_since,
});
