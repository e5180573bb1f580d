import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import { textWithin } from '../../platform/text-within.ts';
import type { Listing, MemoryAnswer, MemoryFailure, MemoryItem, Moment } from './list.ts';
import { priorityOf } from './list.ts';

export interface Wire {
  readonly baseUrl: string;
  readonly clock: Clock;
}

export type Reply = { readonly status: number; readonly body: unknown; readonly headers: Headers };

const timeoutMs = 10_000;
const maxBytes = 8 * 1024 * 1024;
export const longestPauseMs = 300_000;

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
    const asked = reset > 0 ? Math.max(1_000, reset * 1_000 - clock.now()) : secondsOf(headers.get('retry-after'));
    // Some give milliseconds where seconds are due: nobody is believed who wants to be left alone for years.
    const afterMs = asked === undefined ? undefined : Math.min(longestPauseMs, asked);
    return { kind: 'unavailable', message: "The list's server wants fewer requests.", ...(afterMs === undefined ? {} : { afterMs }) };
  }
  if (status >= 500) return { kind: 'unavailable', message: `The list's server answered with status ${status}.` };
  if (status === 403) return { kind: 'refused', message: "The list's server does not let this key in (MEMORY_MCP_API_KEY)." };
  if (status >= 300 && status < 400) {
    return {
      kind: 'not-understood',
      message: `The list's address leads elsewhere (status ${status}). Set MEMORY_MCP_URL to where it leads.`,
    };
  }
  if (body === undefined) {
    return { kind: 'not-understood', message: `What answers at the list's address is no list: status ${status}, and no JSON.` };
  }
  return undefined;
}

const itemSchema = z.object({
  // It becomes a step of a path, where a dot or two lead elsewhere, and PostgreSQL keeps no zero.
  id: z.union([
    z
      .string()
      .max(200)
      .regex(/^(?!\.{1,2}$)[^\0]+$/),
    z.number().transform(String),
  ]),
  description: z
    .string()
    .transform((text) => text.replaceAll('\0', '').trim())
    .pipe(z.string().min(1).max(500_000)),
  status: z.enum(['pending', 'in_progress', 'blocked', 'completed', 'cancelled']),
  priority: z.unknown().transform(priorityOf),
  tags: z
    .array(
      z
        .string()
        .max(2_000)
        .regex(/^[^\0]*$/),
    )
    .max(200)
    .nullish()
    .transform((tags) => tags ?? []),
  due_date: z.number().nullish(),
});

/** What a page holds; `full` is counted with what was left out, or one odd entry would hide all pages behind it. */
export interface Page {
  readonly items: readonly MemoryItem[];
  readonly odd: readonly unknown[];
  readonly full: boolean;
}

/** An entry of a list, or what is wrong with it. */
export function itemOf(entry: unknown): { readonly ok: true; readonly item: MemoryItem } | { readonly ok: false; readonly why: string } {
  const read = itemSchema.safeParse(entry);
  if (!read.success) return { ok: false, why: z.prettifyError(read.error).slice(0, 500) };
  const { due_date: due, ...rest } = read.data;
  // Some write seconds, some milliseconds; no list is from before 1973.
  return { ok: true, item: { ...rest, dueAt: due == null ? null : due < 1e11 ? due * 1_000 : due } };
}

/** Of another status than pending, so nobody misses it that it makes no sense. */
const isOver = (entry: unknown): boolean =>
  z.object({ status: z.enum(['in_progress', 'blocked', 'completed', 'cancelled']) }).safeParse(entry).success;

/** The items of a page, and apart from them what makes no sense; a page that is none is a failure. */
export function itemsIn(body: unknown): Page | undefined {
  const page = z.object({ tasks: z.array(z.unknown()) }).safeParse(body);
  if (!page.success) return undefined;
  const { tasks } = page.data;
  const read = tasks.map(itemOf);
  return {
    items: read.flatMap((each) => (each.ok ? each.item : [])),
    odd: tasks.filter((entry, at) => !read[at]?.ok && !isOver(entry)),
    full: tasks.length >= pageSize,
  };
}

export const pageSize = 100;
/** A server that never says that it is at its end would be asked for ever. */
const maxPages = 100;

/** Page by page to the end, each item once: while we read, the list moves under us. What was read before a failure counts. */
export async function allPages(
  status: MemoryItem['status'],
  clock: Clock,
  page: (offset: number) => Promise<MemoryAnswer<Page>>,
): Promise<MemoryAnswer<Listing>> {
  const all = new Map<string, MemoryItem>();
  const askedAt = new Map<string, Moment>();
  const oddities: unknown[] = [];
  let cut: MemoryFailure | undefined;
  for (let at = 0; at < maxPages; at++) {
    const asked = momentOf(clock);
    const read = await page(at * pageSize);
    if (!read.ok && at === 0) return read;
    if (!read.ok) {
      cut = read.failure;
      break;
    }
    const { items, odd, full } = read.value;
    oddities.push(...odd);
    const before = all.size;
    for (const item of items) {
      if (all.has(item.id)) continue;
      all.set(item.id, item);
      askedAt.set(item.id, asked);
    }
    // A full page of what is known already comes from a server that does not turn pages.
    if (!full || (items.length > 0 && all.size === before)) break;
  }
  return { ok: true, value: { items: [...all.values()].filter((item) => item.status === status), askedAt, odd: oddities, cut } };
}

export const momentOf = (clock: Clock): Moment => ({ monotonic: clock.monotonic(), wall: clock.now() });

export const nothingOf = (answered: MemoryAnswer<unknown>): MemoryAnswer<void> => (answered.ok ? { ok: true, value: undefined } : answered);

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
