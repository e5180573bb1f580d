/** What asks for more is a mistake, and would shut a provider out for ever. */
const longestMs = 86_400_000;

/** How long a provider wants to be left alone: milliseconds, seconds, or a date; undefined when it does not say. */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const said = saidMs(headers, now);
  return said === undefined ? undefined : Math.min(said, longestMs);
}

function saidMs(headers: Headers, now: number): number | undefined {
  const milliseconds = number(headers.get('retry-after-ms'));
  if (milliseconds !== undefined) return milliseconds;
  const said = headers.get('retry-after');
  const seconds = number(said);
  if (seconds !== undefined) return seconds * 1_000;
  const date = said === null ? Number.NaN : Date.parse(said);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

function number(text: string | null): number | undefined {
  const value = text === null || text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? value : undefined;
}
