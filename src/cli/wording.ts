import type { RunStatus } from '../domain/run.ts';
import type { TaskStatus } from '../domain/task.ts';
import type { WorkspaceStatus } from '../domain/workspace.ts';
import type { Style } from './terminal.ts';

type Status = TaskStatus | RunStatus | WorkspaceStatus;

const styles: Readonly<Record<Status, Style | undefined>> = {
  queued: undefined,
  blocked: 'yellow',
  delayed: 'yellow',
  'awaiting-approval': 'magenta',
  running: 'cyan',
  succeeded: 'green',
  failed: 'red',
  cancelled: 'dim',
  'over-budget': 'magenta',
  escalated: 'magenta',
  lost: 'red',
  released: 'dim',
  active: 'cyan',
  completed: 'green',
  error: 'red',
  cleaning: 'yellow',
  removed: 'dim',
};

export const styleOf = (status: Status): Style | undefined => styles[status];

/** `0.4 s`, `12 s`, `3 min 04 s`, `2 h 05 min`. */
export function duration(ms: number): string {
  if (ms < 9_950) return `${(Math.max(0, ms) / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** How long ago, in the one unit that matters. */
export function age(since: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(since)) / 1_000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** In the time of whoever reads. */
export function localTime(iso: string): string {
  const at = new Date(iso);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clockTime(iso)}`;
}

export function clockTime(iso: string): string {
  const at = new Date(iso);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** `812 B`, `11 KB`, `3.4 MB`, `57 MB`, `1.2 GB`. */
export function bytes(count: number): string {
  const [unit, size] = byteUnits.find(([, least]) => count >= least) ?? (['B', 1] as const);
  const many = count / size;
  return `${many.toFixed(many < 10 && size > 2 ** 10 ? 1 : 0)} ${unit}`;
}

const byteUnits = [
  ['GB', 2 ** 30],
  ['MB', 2 ** 20],
  ['KB', 2 ** 10],
] as const;

export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const two = (number: number): string => String(number).padStart(2, '0');

/** `$7.50`, `$0.0042`, `1.2M`: money to the cent where there is enough of it, tokens in the unit that fits. */
export function amount(unit: 'usd' | 'tokens', value: number): string {
  if (unit === 'usd') return `$${value.toFixed(value !== 0 && value < 1 ? 4 : 2)}`;
  if (value < 10_000) return String(value);
  return value < 1_000_000 ? `${(value / 1_000).toFixed(0)}k` : `${(value / 1_000_000).toFixed(1)}M`;
}
