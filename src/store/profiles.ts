import { type Kysely, sql } from 'kysely';
import { defaultProfile, type Profile, type ProfileSettings } from '../domain/profile.ts';
import { chunks, fromJson, toJson } from './rows.ts';
import type { ProfileTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** By name. */
export async function listProfiles(db: Kysely<Schema>): Promise<readonly Profile[]> {
  return (await db.selectFrom('profiles').selectAll().execute()).map(toProfile).sort((a, b) => (a.name < b.name ? -1 : 1));
}

export async function findProfile(db: Kysely<Schema>, name: string): Promise<Profile | undefined> {
  const row = await db.selectFrom('profiles').selectAll().where('name', '=', name).executeTakeFirst();
  return row && toProfile(row);
}

export async function findProfileById(db: Kysely<Schema>, id: string): Promise<Profile | undefined> {
  const row = await db.selectFrom('profiles').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toProfile(row);
}

export async function findProfiles(db: Kysely<Schema>, names: Iterable<string>): Promise<ReadonlyMap<string, Profile>> {
  const found = new Map<string, Profile>();
  for (const chunk of chunks([...new Set(names)])) {
    for (const row of await db.selectFrom('profiles').selectAll().where('name', 'in', chunk).execute()) found.set(row.name, toProfile(row));
  }
  return found;
}

/**
 * The same, for tasks that are about to be stored with them: held, so that none is deleted until that is done. The default
 * cannot be deleted, and nearly every submission names it, so it is not.
 */
export async function holdProfiles(tx: Tx, names: Iterable<string>): Promise<ReadonlyMap<string, Profile>> {
  const wanted = new Set(names);
  const others = [...wanted].filter((name) => name !== defaultProfile);
  if (tx.dialect === 'postgres' && others.length > 0) {
    await tx.db.selectFrom('profiles').select('id').where('name', 'in', others).orderBy('name').forKeyShare().execute();
  }
  return findProfiles(tx.db, wanted);
}

/** False when the name is taken. */
export async function insertProfile(tx: Tx, profile: Profile): Promise<boolean> {
  const row = {
    id: profile.id,
    name: profile.name,
    ...settingColumns(profile),
    created_at: profile.createdAt,
    updated_at: profile.updatedAt,
  };
  const result = await tx.db
    .insertInto('profiles')
    .values(row)
    .onConflict((conflict) => conflict.column('name').doNothing())
    .executeTakeFirst();
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

/** The profile as it is then, or undefined when there is none. */
export async function replaceSettings(tx: Tx, name: string, settings: ProfileSettings, now: number): Promise<Profile | undefined> {
  await tx.db
    .updateTable('profiles')
    .set({ ...settingColumns(settings), updated_at: now })
    .where('name', '=', name)
    .execute();
  return findProfile(tx.db, name);
}

export type ProfileDeletion = { readonly kind: 'deleted' | 'not-found' } | { readonly kind: 'in-use'; readonly openTasks: number };

/** Not while an open task would be left without it. */
export async function deleteProfile(tx: Tx, name: string): Promise<ProfileDeletion> {
  let held = tx.db.selectFrom('profiles').select('id').where('name', '=', name);
  if (tx.dialect === 'postgres') held = held.forUpdate();
  if (!(await held.executeTakeFirst())) return { kind: 'not-found' };
  const { count } = await tx.db
    .selectFrom('tasks')
    .select(sql<number>`count(*)`.as('count'))
    .where('profile', '=', name)
    .where('profile', '<>', sql.lit(defaultProfile))
    .where('closed_at', 'is', null)
    .executeTakeFirstOrThrow();
  if (Number(count) > 0) return { kind: 'in-use', openTasks: Number(count) };
  await tx.db.deleteFrom('profiles').where('name', '=', name).execute();
  return { kind: 'deleted' };
}

const settingColumns = (settings: ProfileSettings) => ({
  description: settings.description,
  prompt_template: settings.promptTemplate,
  instructions: settings.instructions,
  tier: settings.tier,
  model: settings.model,
  tools: toJson(settings.tools),
  timeout_seconds: settings.timeoutSeconds,
  max_turns: settings.maxTurns,
  budget_usd: settings.budgetUsd,
  engine: settings.engine,
});

const toProfile = (row: ProfileTable): Profile => ({
  id: row.id,
  name: row.name,
  description: row.description,
  promptTemplate: row.prompt_template,
  instructions: row.instructions,
  tier: row.tier,
  model: row.model,
  tools: fromJson<string[]>(row.tools),
  timeoutSeconds: row.timeout_seconds,
  maxTurns: row.max_turns,
  budgetUsd: row.budget_usd,
  engine: row.engine,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
