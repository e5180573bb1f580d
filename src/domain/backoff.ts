export interface Backoff {
  readonly baseMs: number;
  readonly capMs: number;
}

const taskBackoff: Backoff = { baseMs: 1_000, capMs: 60_000 };

/**
 * Delay before attempt `attempt + 1`: doubles from the base up to the cap, then spread over ±50 % so that
 * tasks that failed together do not come back together. `chance` is uniform in [0, 1).
 */
export function backoffMs(attempt: number, chance: number, { baseMs, capMs }: Backoff = taskBackoff): number {
  const doubled = Math.min(capMs, baseMs * 2 ** Math.min(30, Math.max(0, attempt - 1)));
  return Math.round(doubled * (0.5 + chance));
}
