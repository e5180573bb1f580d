import { pausedKey, readSetting, writeSetting } from './settings.ts';
import type { Tx } from './store.ts';

/**
 * What has to be said to a database that comes from a backup: nothing is begun until a person has looked, and each message
 * that waited may have gone out since, so it is looked for before it is sent. Who has signed out since stays signed out.
 */
export async function prepareRestored(tx: Tx, now: number): Promise<void> {
  if ((await readSetting(tx.db, pausedKey)) === undefined) await writeSetting(tx, pausedKey, new Date(now).toISOString());
  await tx.db.updateTable('outbox').set({ doubtful: 1, holder: null }).where('state', '=', 'waiting').execute();
  await tx.db.deleteFrom('sessions').execute();
}
