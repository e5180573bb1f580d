import { expect, test } from 'vitest';
import { explained } from '../../test/support/asked.ts';
import { createDatabase } from '../../test/support/stores.ts';
import { listNotes } from './notes.ts';

test('notes of one kind about one repository are found without reading those about others', async () => {
  const database = await createDatabase('sqlite');
  const store = await database.open();
  try {
    const plan = await explained<{ detail: string }>(store, 'explain query plan', (db) =>
      listNotes(db, { kind: 'learning', repository: 'https://git.example/shop' }, { before: null, limit: 50 }),
    );
    expect(plan.map(({ detail }) => detail)).toEqual([expect.stringContaining('(repository=? AND kind=?)')]);
  } finally {
    await store.close();
    await database.remove();
  }
});
