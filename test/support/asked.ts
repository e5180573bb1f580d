import { CompiledQuery, type Kysely, type RootOperationNode } from 'kysely';
import type { Schema } from '../../src/store/schema.ts';
import type { Store } from '../../src/store/store.ts';

/** The rows with which the database explains the one query that `ask` asks. */
export async function explained<Row>(store: Store, how: string, ask: (db: Kysely<Schema>) => Promise<unknown>): Promise<readonly Row[]> {
  const asked: RootOperationNode[] = [];
  const listening = store.read.withPlugin({
    transformQuery: ({ node }) => {
      asked.push(node);
      return node;
    },
    transformResult: async ({ result }) => result,
  });
  await ask(listening);
  const [node, ...more] = asked;
  if (!node || more.length > 0) throw new Error(`${asked.length} queries were asked`);
  const { sql, parameters } = store.read.getExecutor().compileQuery(node, { queryId: 'plan' });
  return (await store.read.executeQuery<Row>(CompiledQuery.raw(`${how} ${sql}`, [...parameters]))).rows;
}
