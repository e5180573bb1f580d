import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import { textWithin } from '../../platform/text-within.ts';
import type { MemoryAnswer, MemoryFailure, MemoryItem } from './list.ts';
import { priorityOf } from './list.ts';

export interface Wire {
  readonly baseUrl: string;
  readonly clock: Clock;
}

export type Reply = { readonly status: number; readonly body: unknown; readonly headers: Headers };

const timeoutMs = 10_000;
const maxBytes = 8 * 1024 * 1024;

/** One request, answered with JSON whatever its status. Redirects are not followed: they would carry the key elsewhere. */
export async function call(
  { baseUrl, clock }: Wire,
  request: {
    readonly method: 'GET' | 'POST' | 'PATCH';
    readonly path: string;
    readonly bearer: string | undefined;
    readonly body?: unknown;
  },
  signal: AbortSignal,
): Promise<MemoryAnswer<Reply>> {
  const late = new AbortController();
  const cancelTimer = clock.after(timeoutMs, () => late.abort());
  try {
    const response = await fetch(`${baseUrl.replace(/\/+$/, '')}${request.path}`, {
      method: request.method,
      redirect: 'manual',
      signal: AbortSignal.any([signal, late.signal]),
      headers: {
        accept: 'application/json',
        ...(request.bearer === undefined ? {} : { authorization: `Bearer ${request.bearer}` }),
        ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
    });
    const text = await textWithin(response.body, maxBytes);
    if (text === undefined) return fail({ kind: 'unavailable', message: `The list's server answered with more than ${maxBytes} bytes.` });
    return { ok: true, value: { status: response.status, body: parsed(text), headers: response.headers } };
  } catch (error) {
    signal.throwIfAborted();
    const why = late.signal.aborted ? `did not answer within ${timeoutMs / 1_000} s` : `cannot be reached (${codeOf(error)})`;
    return fail({ kind: 'unavailable', message: `The list's server ${why}.` });
  } finally {
    cancelTimer();
  }
}

/** What every dialect says in the same way. What is left is for the dialect to understand. */
export function common({ status, body, headers }: Reply, clock: Clock): MemoryFailure | undefined {
  if (status === 429) {
    const reset = Number(headers.get('x-ratelimit-reset'));
    const afterMs = reset > 0 ? Math.max(1_000, reset * 1_000 - clock.now()) : secondsOf(headers.get('retry-after'));
    return { kind: 'unavailable', message: "The list's server wants fewer requests.", ...(afterMs === undefined ? {} : { afterMs }) };
  }
  if (status >= 500) return { kind: 'unavailable', message: `The list's server answered with status ${status}.` };
  if (status === 403) return { kind: 'refused', message: "The list's server does not let this key in (MEMORY_MCP_API_KEY)." };
  if (body === undefined || (status >= 300 && status < 400)) {
    return { kind: 'not-understood', message: `What answers at the list's address is no list: status ${status}, and no JSON.` };
  }
  return undefined;
}

const itemSchema = z.object({
  id: z.union([z.string().min(1).max(200), z.number().transform(String)]),
  description: z.string().trim().min(1).max(500_000),
  status: z.enum(['pending', 'in_progress', 'blocked', 'completed', 'cancelled']),
  priority: z.unknown().transform(priorityOf),
  tags: z
    .array(z.string().max(100))
    .max(100)
    .nullish()
    .transform((tags) => tags ?? []),
  due_date: z.number().nullish(),
});

/** What a page holds; `full` is counted with what was left out, or one odd entry would hide all pages behind it. */
export interface Page {
  readonly items: readonly MemoryItem[];
  readonly full: boolean;
}

/** The items of a page. One that makes no sense is left out; a page that is none is a failure. */
export function itemsIn(body: unknown): Page | undefined {
  const page = z.object({ tasks: z.array(z.unknown()) }).safeParse(body);
  if (!page.success) return undefined;
  const items = page.data.tasks.flatMap((entry) => {
    const item = itemSchema.safeParse(entry);
    if (!item.success) return [];
    const { due_date: due, ...rest } = item.data;
    // Some write seconds, some milliseconds; no list is from before 1973.
    return [{ ...rest, dueAt: due == null ? null : due < 1e11 ? due * 1_000 : due }];
  });
  return { items, full: page.data.tasks.length >= pageSize };
}

export const pageSize = 100;
/** A server that never says that it is at its end would be asked for ever. */
const maxPages = 100;

/** Page by page to the end, each item once: while we read, the list moves under us. */
export async function allPages(page: (offset: number) => Promise<MemoryAnswer<Page>>): Promise<MemoryAnswer<readonly MemoryItem[]>> {
  const all = new Map<string, MemoryItem>();
  for (let at = 0; at < maxPages; at++) {
    const read = await page(at * pageSize);
    if (!read.ok) return read;
    const { items, full } = read.value;
    const before = all.size;
    for (const item of items) if (!all.has(item.id)) all.set(item.id, item);
    // A full page of what is known already comes from a server that does not turn pages.
    if (!full || (items.length > 0 && all.size === before)) break;
  }
  return { ok: true, value: [...all.values()].filter(({ status }) => status === 'pending') };
}

export const fail = (failure: MemoryFailure): { readonly ok: false; readonly failure: MemoryFailure } => ({ ok: false, failure });

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // an HTML page of a proxy, say; the caller tells
  }
}

function secondsOf(header: string | null): number | undefined {
  const seconds = Number(header);
  return header !== null && Number.isFinite(seconds) ? seconds * 1_000 : undefined;
}

const codeOf = (error: unknown): string => {
  const cause = error instanceof Error ? ((error.cause ?? error) as NodeJS.ErrnoException) : undefined;
  return cause?.code ?? cause?.name ?? 'connection failed';
};
