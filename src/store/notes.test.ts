import { CompiledQuery, type RootOperationNode } from 'kysely';
import { expect, test } from 'vitest';
import { createDatabase } from '../../test/support/stores.ts';
import { listNotes } from './notes.ts';

test('notes of one kind about one repository are found without reading those about others', async () => {
  const database = await createDatabase('sqlite');
  const store = await database.open();
  try {
    const asked: RootOperationNode[] = [];
    const listening = store.read.withPlugin({
      transformQuery: ({ node }) => {
        asked.push(node);
        return node;
      },
      transformResult: async ({ result }) => result,
    });
    await listNotes(listening, { kind: 'learning', repository: 'https://git.example/shop' }, { before: null, limit: 50 });
    const [node] = asked;
    if (!node) throw new Error('nothing was asked');
    const { sql, parameters } = store.read.getExecutor().compileQuery(node, { queryId: 'plan' });
    const { rows } = await store.read.executeQuery<{ detail: string }>(CompiledQuery.raw(`explain query plan ${sql}`, [...parameters]));
    expect(rows.map(({ detail }) => detail)).toEqual([expect.stringContaining('(repository=? AND kind=?)')]);
  } finally {
    await store.close();
    await database.remove();
  }
});
