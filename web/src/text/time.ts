/** How long, for people: two units at most. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** How long it has taken so far: whole seconds, for it is read while it changes. */
export const elapsed = (ms: number): string => (ms < 10_000 ? `${Math.max(0, Math.floor(ms / 1_000))} s` : duration(ms));

/** How long ago, coarser the longer ago it is. A time that is still to come is told as such. */
export function ago(iso: string, now: number): string {
  const ms = now - Date.parse(iso);
  if (ms < -5_000) return `in ${coarse(-ms)}`;
  return ms < 5_000 ? 'just now' : `${coarse(ms)} ago`;
}

function coarse(ms: number): string {
  const minutes = ms / 60_000;
  if (minutes < 1) return `${Math.floor(ms / 1_000)} s`;
  if (minutes < 60) return `${Math.floor(minutes)} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h`;
  const days = Math.floor(minutes / 1_440);
  return days < 2 * 365 ? `${days} days` : `${Math.floor(days / 365)} years`;
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');

export function clockTime(when: number | string): string {
  const time = new Date(when);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join(':');
}

/** Made once: a hundred rows have such a time, and to make one of these takes longer than to draw a row. */
const inFull = new Intl.DateTimeFormat([], { dateStyle: 'medium', timeStyle: 'medium' });
export const fullTime = (when: number | string): string => inFull.format(new Date(when));
