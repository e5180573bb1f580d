import { z } from 'zod';
import type { KeptText, MemoryAnswer, MemoryList } from './list.ts';
import { allPages, call, common, fail, itemsIn, nothingOf, type Page, pageSize, type Reply, type Wire } from './wire.ts';

const sessionSchema = z.object({ session_token: z.string().min(1) });

/** The real server: everything is a POST under `/api`, and a GitHub token is exchanged for a session of seven days. */
export function memoryMcpList(wire: Wire, key: string): MemoryList {
  let session: string | undefined;

  const logIn = async (signal: AbortSignal): Promise<MemoryAnswer<string>> => {
    const answered = await call(
      wire,
      { method: 'POST', path: '/api/authenticate', bearer: undefined, body: { github_token: key } },
      signal,
    );
    if (!answered.ok) return answered;
    const failure = common(answered.value, wire.clock);
    if (failure) return fail(failure);
    const given = sessionSchema.safeParse(answered.value.body);
    if (given.success) return { ok: true, value: given.data.session_token };
    const { status } = answered.value;
    return status === 400 || status === 401
      ? fail({ kind: 'refused', message: 'The Memory-MCP server refuses the GitHub token in MEMORY_MCP_API_KEY.' })
      : fail({ kind: 'not-understood', message: `POST /api/authenticate answered ${status} without a session.` });
  };

  /** A session may end at any request, so each may log in again, once. */
  const ask = async (path: string, body: unknown, signal: AbortSignal): Promise<MemoryAnswer<Reply>> => {
    for (let fresh = session === undefined; ; fresh = true) {
      if (fresh) {
        const loggedIn = await logIn(signal);
        if (!loggedIn.ok) return loggedIn;
        session = loggedIn.value;
      }
      const answered = await call(wire, { method: 'POST', path, bearer: session, body }, signal);
      if (!answered.ok) return answered;
      if (answered.value.status === 401) {
        session = undefined;
        if (!fresh) continue;
        return fail({ kind: 'refused', message: 'The Memory-MCP server refuses the session that it has just given.' });
      }
      const failure = common(answered.value, wire.clock);
      if (failure) return fail(failure);
      return answered;
    }
  };

  /** What concerns one item: 400 with a text is all that this server says when something is wrong. */
  const change = async (path: string, body: unknown, signal: AbortSignal): Promise<MemoryAnswer<void>> => {
    const answered = await ask(path, body, signal);
    if (!answered.ok) return answered;
    const { status, body: said } = answered.value;
    if (status < 300) return { ok: true, value: undefined };
    const error = z.object({ error: z.string() }).safeParse(said);
    if (status === 400 && error.success && /not found/i.test(error.data.error)) {
      return fail({ kind: 'no-such-item', message: 'The list has no such item any more.' });
    }
    return fail({ kind: 'not-understood', message: `POST ${path} answered ${status}.` });
  };

  const keep = (text: KeptText, signal: AbortSignal): Promise<MemoryAnswer<void>> =>
    change('/api/memory/long-term/save', { category: 'note', ...text }, signal);

  const pageAt = async (status: string, offset: number, signal: AbortSignal): Promise<MemoryAnswer<Page>> => {
    const answered = await ask('/api/tasks/list', { status, limit: pageSize, offset }, signal);
    if (!answered.ok) return answered;
    const page = itemsIn(answered.value.body);
    return page ? { ok: true, value: page } : fail({ kind: 'not-understood', message: 'The answer to /api/tasks/list holds no tasks.' });
  };

  return {
    dialect: 'memory-mcp',
    keepsTags: 'surely',
    answers: async (signal) => nothingOf(await pageAt('pending', 0, signal)),
    listed: (status, signal) => allPages(status, wire.clock, (offset) => pageAt(status, offset, signal)),
    claim: (id, tags, signal) => change('/api/tasks/update', { id, status: 'in_progress', tags }, signal),
    async report(id, { status, reason, tags }, signal) {
      if (status === 'completed') return change('/api/tasks/complete', { id }, signal);
      const changed = await change('/api/tasks/update', { id, status, ...(tags === undefined ? {} : { tags }) }, signal);
      if (!changed.ok || reason === undefined) return changed;
      // There is no status for a failure and an item keeps no text of ours, so the reason is a note beside it.
      return keep({ key: `nightshift/${id}`, value: reason.slice(0, 10_000), importance: 6, metadata: { task: id } }, signal);
    },
    keep,
  };
}
