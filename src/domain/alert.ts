import type { Severity } from './notice.ts';

/** What is looked at. Operators silence and configure them by these names, so they stay. */
export const alertNames = [
  'failure-rate',
  'long-run',
  'queue-backlog',
  'no-progress',
  'person-needed',
  'model-calls-failing',
  'breaker-open',
  'budget',
  'ceiling',
  'inbox-stuck',
  'inbox-failed',
  'outbox-stuck',
  'dead-letters',
  'disk',
  'backup',
  'health',
] as const;
export type AlertName = (typeof alertNames)[number];

/** What an owner wants otherwise than it is by itself. */
export type AlertSetting = 'off' | { readonly above?: number | undefined; readonly forMinutes?: number | undefined };

/** What is wrong, in words. */
export interface Trouble {
  readonly title: string;
  /** What it means, and what to do. */
  readonly text: string;
}

/** One thing that is wrong, from when it was first seen until it has been well for a while. */
export interface Alert extends Trouble {
  /** The condition that sees it. */
  readonly name: string;
  /** Whose it is: a node's own, or everybody's (''). */
  readonly node: string;
  readonly severity: Severity;
  readonly since: number;
  /** When people were told; null while it is not known to stay. */
  readonly raisedAt: number | null;
  /** Since when all is well again; null while it is not. */
  readonly wellSince: number | null;
}

export interface Judgement {
  /** What is remembered from now on; undefined when there is nothing. */
  readonly alert: Alert | undefined;
  readonly tell: 'raised' | 'resolved' | null;
}

/** It comes and goes with each look otherwise, and people would hear of each. */
export const wellForMs = 60_000;

/** What a look makes of what was known: told once when it has lasted for `forMs`, and once when it is over. */
export function judge(
  known: Alert | undefined,
  trouble: Trouble | null,
  about: Pick<Alert, 'name' | 'node' | 'severity'> & { readonly forMs: number },
  now: number,
): Judgement {
  const { forMs, ...rest } = about;
  if (trouble === null) {
    if (!known || known.raisedAt === null) return { alert: undefined, tell: null };
    const wellSince = known.wellSince ?? now;
    if (now - wellSince < wellForMs) return { alert: { ...known, wellSince }, tell: null };
    return { alert: undefined, tell: 'resolved' };
  }
  const { title, text } = trouble;
  const since = Math.min(known?.since ?? now, now);
  const raisedAt = known?.raisedAt ?? (now - since >= forMs ? now : null);
  const alert = { ...rest, title, text, since, raisedAt, wellSince: null };
  return { alert, tell: raisedAt !== null && (known?.raisedAt ?? null) === null ? 'raised' : null };
}
