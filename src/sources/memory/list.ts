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

/** How it stands with an item of ours. Without tags, those that are there stay. */
export interface Said {
  readonly status: 'in_progress' | 'completed' | 'blocked';
  readonly reason?: string;
  readonly tags?: readonly string[];
}

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

/** A machine that sleeps moves the wall's clock alone, and whoever sets that one does not move the other. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

export type MemoryAnswer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: MemoryFailure };

/** What a list has in one status, as far as it was told. */
export interface Listing {
  readonly items: readonly MemoryItem[];
  /** When the page was asked for that an item stood on, by the clock that only goes forward and by the wall's. */
  readonly askedAt: ReadonlyMap<string, Moment>;
  /** Entries that make no sense, as they came. */
  readonly odd: readonly unknown[];
  /** Why there may be more: a later page could not be had. */
  readonly cut: MemoryFailure | undefined;
}

/** One list, spoken to in one dialect. Failures are values; only an aborted signal rejects. */
export interface MemoryList {
  readonly dialect: 'documented' | 'memory-mcp';
  /** Whether a tag that was written is there afterwards. What is only documented may keep none. */
  readonly keepsTags: 'surely' | 'perhaps';
  /** Whether this is the dialect of the server, at the cost of one page. */
  answers(signal: AbortSignal): Promise<MemoryAnswer<void>>;
  /**
   * All that is in a status, or the first 10,000 of it: what is taken up makes way for the rest. An item that is not among
   * them may still exist: servers show only their newest, so absence says nothing.
   */
  listed(status: 'pending' | 'in_progress', signal: AbortSignal): Promise<MemoryAnswer<Listing>>;
  /** Puts an item in progress with these tags, in one request: whoever does so last has it. */
  claim(id: string, tags: readonly string[], signal: AbortSignal): Promise<MemoryAnswer<void>>;
  /** Says how it stands with an item of ours. `reason` is kept with it where the dialect has a place for one. */
  report(id: string, said: Said, signal: AbortSignal): Promise<MemoryAnswer<void>>;
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
