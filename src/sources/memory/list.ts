import type { Priority } from '../../domain/task.ts';

/** A to-do of a Memory-MCP list, in whichever dialect its server speaks. */
export interface MemoryItem {
  readonly id: string;
  readonly description: string;
  /** `blocked` waits for something that only its owner knows, so it is not work for us. */
  readonly status: 'pending' | 'in_progress' | 'blocked' | 'completed' | 'cancelled';
  readonly priority: Priority;
  readonly tags: readonly string[];
  readonly dueAt: number | null;
}

type MemoryStatus = 'in_progress' | 'completed' | 'blocked';

export type MemoryFailure =
  /** Asking again later may work; `afterMs` when the server named a time. */
  | { readonly kind: 'unavailable'; readonly message: string; readonly afterMs?: number }
  /** It will not work until somebody changes the settings. */
  | { readonly kind: 'refused'; readonly message: string }
  /** The answers are not those of this dialect: find out again what the server is. */
  | { readonly kind: 'not-understood'; readonly message: string }
  | { readonly kind: 'no-such-item'; readonly message: string }
  /** This dialect has nothing like it. */
  | { readonly kind: 'unsupported'; readonly message: string };

/** What is kept beside the items. Under a key that is known, it takes the place of what was there. */
export interface KeptText {
  readonly key: string;
  readonly value: string;
  /** From 1 to 10. */
  readonly importance: number;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export type MemoryAnswer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: MemoryFailure };

/** What a list has to do, as far as it was told. */
export interface Pending {
  readonly items: readonly MemoryItem[];
  /** Entries that make no sense, as they came. */
  readonly odd: readonly unknown[];
  /** Why there may be more: a later page could not be had. */
  readonly cut: MemoryFailure | undefined;
}

/** One list, spoken to in one dialect. Failures are values; only an aborted signal rejects. */
export interface MemoryList {
  readonly dialect: 'documented' | 'memory-mcp';
  /** Whether this is the dialect of the server, at the cost of one page. */
  answers(signal: AbortSignal): Promise<MemoryAnswer<void>>;
  /**
   * All that is pending, or the first 10,000 of it: what is taken up makes way for the rest. An item that is not among them may still exist: servers show only their newest, so absence says
   * nothing.
   */
  pending(signal: AbortSignal): Promise<MemoryAnswer<Pending>>;
  /** Says how it stands with an item of ours. `reason` is kept with it where the dialect has a place for one. */
  report(id: string, status: MemoryStatus, reason: string | undefined, signal: AbortSignal): Promise<MemoryAnswer<void>>;
  keep(text: KeptText, signal: AbortSignal): Promise<MemoryAnswer<void>>;
}

/** Ten is the most urgent there. A word is taken as one. */
export function priorityOf(value: unknown): Priority {
  const word = typeof value === 'string' ? value.toLowerCase() : '';
  if (word === 'high' || word === 'medium' || word === 'low') return word;
  const number = typeof value === 'number' ? value : Number.NaN;
  if (number >= 8) return 'high';
  return number <= 3 ? 'low' : 'medium';
}
