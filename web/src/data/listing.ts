import { useCallback, useEffect, useRef, useState } from 'react';
import { get } from './api.ts';
import { useLive } from './use.ts';
import type { Page } from './views.ts';

/** A list of the server's that is shown page by page, and not kept for reading offline. */
export interface Listing<T> {
  /** Undefined until the first answer. */
  readonly items: readonly T[] | undefined;
  readonly refused: string | undefined;
  readonly hasMore: boolean;
  readonly more: () => Promise<void>;
  /** As many as are shown, anew. */
  readonly again: () => Promise<void>;
}

const pageSize = 50;
const mostAtOnce = 200;

/** It is asked for again when the connection is back, when the query is another, and with each new `cause`. */
export function useListing<T>(path: string, query: Readonly<Record<string, string>> = {}, cause?: unknown): Listing<T> {
  const live = useLive((state) => state.connection.kind === 'live');
  const [page, setPage] = useState<Page<T>>();
  const [refused, setRefused] = useState<string>();
  const filter = new URLSearchParams(query).toString();
  /** Counts the questions: an answer that another question has overtaken says nothing. */
  const asked = useRef(0);
  const shown = useRef(0);
  shown.current = page?.items.length ?? 0;

  const ask = useCallback(
    async (limit: number, cursor: string | null, before: readonly T[]): Promise<void> => {
      asked.current += 1;
      const question = asked.current;
      const place = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const answer = await get<Page<T>>(`${path}?limit=${limit}${filter === '' ? '' : `&${filter}`}${place}`);
      if (question !== asked.current) return;
      if (answer.ok) setPage({ items: [...before, ...answer.value.items], nextCursor: answer.value.nextCursor });
      setRefused(answer.ok ? undefined : answer.refusal.message);
    },
    [path, filter],
  );
  const again = useCallback(() => ask(Math.min(mostAtOnce, Math.max(pageSize, shown.current)), null, []), [ask]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new cause is what makes it look again
  useEffect(() => {
    if (live) void again();
  }, [live, again, cause]);

  const cursor = page?.nextCursor ?? null;
  return {
    items: page?.items,
    refused,
    hasMore: cursor !== null,
    more: () => ask(pageSize, cursor, page?.items ?? []),
    again,
  };
}
