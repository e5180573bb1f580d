import type { Kysely } from 'kysely';
import { demoSource } from '../domain/task.ts';
import type { Schema } from './schema.ts';

export async function isDemo(db: Kysely<Schema>, taskId: string): Promise<boolean> {
  const row = await db.selectFrom('tasks').select('source').where('id', '=', taskId).executeTakeFirst();
  return row?.source === demoSource;
}
