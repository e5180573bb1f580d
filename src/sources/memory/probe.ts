import { documentedList } from './documented.ts';
import type { MemoryAnswer, MemoryList } from './list.ts';
import { memoryMcpList } from './memory-mcp.ts';
import { fail, type Wire } from './wire.ts';

/**
 * Finds out which dialect the server speaks, by asking for the list itself in each: one that merely answers is not taken
 * for one that has tasks. What a server is may change with an update, so whoever is not understood any more asks again.
 */
export async function findList(wire: Wire, key: string | undefined, signal: AbortSignal): Promise<MemoryAnswer<MemoryList>> {
  const candidates = [documentedList(wire, key), ...(key === undefined ? [] : [memoryMcpList(wire, key)])];
  const refusals: string[] = [];
  for (const list of candidates) {
    const answered = await list.answers(signal);
    if (answered.ok) return { ok: true, value: list };
    if (answered.failure.kind === 'unavailable') return answered;
    if (answered.failure.kind === 'refused') refusals.push(answered.failure.message);
  }
  if (refusals.length > 0) return fail({ kind: 'refused', message: refusals.at(-1) ?? '' });
  return fail({
    kind: 'not-understood',
    message: `At MEMORY_MCP_URL nothing answers like a list: neither GET /tasks nor POST /api/tasks/list.${key === undefined ? ' The second needs MEMORY_MCP_API_KEY.' : ''}`,
  });
}
