import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * Turns a function over many items into one over a single item: calls that arrive while an earlier batch is under way
 * wait and go together in the next. A lone call is not delayed by more than what else this turn of the loop brings.
 * Results come in the order of the items. When a batch throws, each of its callers gets that error.
 */
export function gather<Item, Result>(
  run: (items: readonly Item[]) => Promise<readonly Result[]>,
  limit?: number,
): (item: Item) => Promise<Result> {
  return gatherUntil(async (close) => {
    await new Promise((resolve) => setImmediate(resolve));
    return run(close());
  }, limit);
}

/**
 * The same for what has to wait for something before it can begin, such as a transaction: whoever calls meanwhile goes along,
 * until `close` says which they are. That is the same each time it is asked. A batch belongs to none of its callers, and
 * runs in the context in which it was set up.
 */
export function gatherUntil<Item, Result>(
  run: (close: () => readonly Item[]) => Promise<readonly Result[]>,
  limit = 256,
): (item: Item) => Promise<Result> {
  interface Waiting {
    readonly item: Item;
    readonly resolve: (result: Result) => void;
    readonly reject: (error: unknown) => void;
  }
  const waiting: Waiting[] = [];
  const apart = AsyncLocalStorage.snapshot();
  let busy = false;

  async function runBatch(): Promise<void> {
    let batch: readonly Waiting[] | undefined;
    let items: readonly Item[] = [];
    const close = (): readonly Item[] => {
      if (!batch) {
        batch = waiting.splice(0, limit);
        items = batch.map(({ item }) => item);
      }
      return items;
    };
    try {
      const results = await run(close);
      close();
      batch?.forEach(({ resolve }, index) => {
        resolve(results[index] as Result);
      });
    } catch (error) {
      close();
      for (const { reject } of batch ?? []) reject(error);
    }
  }

  const drain = async (): Promise<void> => {
    while (waiting.length > 0) await runBatch();
    busy = false;
  };

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (busy) return;
      busy = true;
      void apart(drain);
    });
}

/**
 * A question that is asked once for all who wait for it to be put: whoever comes after `put` was called gets an answer of their
 * own, so none is older than its asking.
 */
export function askedTogether<Answer>(ask: (put: () => void) => Promise<Answer>): () => Promise<Answer> {
  let waiting: Promise<Answer> | undefined;
  const begin = (): Promise<Answer> => {
    const put = (): void => {
      // When this one ends, others may wait for the next, which has not been put yet.
      if (waiting === own) waiting = undefined;
    };
    const own = Promise.resolve()
      .then(() => ask(put))
      .finally(put);
    return own;
  };
  return () => {
    waiting ??= begin();
    return waiting;
  };
}
