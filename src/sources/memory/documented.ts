import type { MemoryAnswer, MemoryList } from './list.ts';
import { allPages, call, common, fail, itemsIn, nothingOf, type Page, pageSize, type Reply, type Wire } from './wire.ts';

/** `GET /tasks`, `PATCH /tasks/:id`, and the key as it is. */
export function documentedList(wire: Wire, key: string | undefined): MemoryList {
  const ask = async (
    request: { readonly method: 'GET' | 'PATCH'; readonly path: string; readonly body?: unknown },
    signal: AbortSignal,
  ): Promise<MemoryAnswer<Reply>> => {
    const answered = await call(wire, { ...request, bearer: key }, signal);
    if (!answered.ok) return answered;
    const { status } = answered.value;
    if (status === 401)
      return fail({ kind: 'refused', message: "The list's server refuses the key. Set MEMORY_MCP_API_KEY to a valid one." });
    const failure = common(answered.value, wire.clock);
    return failure ? fail(failure) : answered;
  };
  const pageAt = async (status: string, offset: number, signal: AbortSignal): Promise<MemoryAnswer<Page>> => {
    const answered = await ask({ method: 'GET', path: `/tasks?status=${status}&limit=${pageSize}&offset=${offset}` }, signal);
    if (!answered.ok) return answered;
    const page = itemsIn(answered.value.body);
    return page ? { ok: true, value: page } : fail({ kind: 'not-understood', message: 'The answer to GET /tasks holds no tasks.' });
  };
  const change = async (id: string, body: unknown, signal: AbortSignal): Promise<MemoryAnswer<void>> => {
    const answered = await ask({ method: 'PATCH', path: `/tasks/${encodeURIComponent(id)}`, body }, signal);
    if (!answered.ok) return answered;
    if (answered.value.status === 404) return fail({ kind: 'no-such-item', message: `The list has no item ${id} any more.` });
    if (answered.value.status >= 400) return fail({ kind: 'not-understood', message: `PATCH /tasks answered ${answered.value.status}.` });
    return { ok: true, value: undefined };
  };
  return {
    dialect: 'documented',
    keepsTags: 'perhaps',
    answers: async (signal) => nothingOf(await pageAt('pending', 0, signal)),
    listed: (status, signal) => allPages(status, wire.clock, (offset) => pageAt(status, offset, signal)),
    async claim(id, tags, signal) {
      const claimed = await change(id, { status: 'in_progress', tags }, signal);
      // Nothing but a status is documented, so one that is strict about more is asked for that alone.
      return claimed.ok || claimed.failure.kind !== 'not-understood' ? claimed : change(id, { status: 'in_progress' }, signal);
    },
    report: (id, { status, reason, tags }, signal) =>
      change(id, { status, ...(reason === undefined ? {} : { reason }), ...(tags === undefined ? {} : { tags }) }, signal),
    keep: async () =>
      fail({ kind: 'unsupported', message: 'The documented dialect of Memory-MCP has tasks only, and no place for notes.' }),
  };
}
