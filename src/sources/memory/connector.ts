import type { Concern, Connector, ConnectorParts } from '../connector.ts';
import { memoryLink } from './link.ts';
import { memoryMirror, mirrorChannel } from './mirror.ts';
import { type Others, pollMemory, watchMemory } from './poll.ts';
import { memoryChannel, memoryReporter } from './report.ts';
import { memoryItems } from './source.ts';

/** The to-do list, and with `notes` the server's own memory as a mirror of ours; both over one connection. */
export function memoryConnectors(
  {
    url,
    key,
    everyMs,
    notes,
  }: { readonly url: string; readonly key: string | undefined; readonly everyMs: number; readonly notes: boolean },
  parts: ConnectorParts,
): readonly Connector[] {
  const list = url.replace(/\/+$/, '');
  const link = memoryLink({ baseUrl: list, clock: parts.clock }, key);
  const pollParts = { ...parts, link, list, everyMs };
  const watch = watchMemory(pollParts);
  return [
    {
      source: memoryItems,
      channel: memoryChannel(link, list),
      reporter: memoryReporter,
      concern: () => concernIn(watch.others()),
      start: () => pollMemory(pollParts, watch),
    },
    ...(notes ? [{ channel: mirrorChannel(link, list, parts.store), mirror: memoryMirror(list) }] : []),
  ];
}

/** Names on a list are anybody's, and so is their number. */
const mostTold = 5;

/** Two Nightshifts on one list are told apart by their names in it; where it keeps none, or somebody is gone, a person has to see to it. */
function concernIn(others: Others | undefined): Concern | undefined {
  if (others === undefined) return undefined;
  const held = [...others.holders].slice(0, mostTold).map(([holder, count]) => `${count} by ${holder.slice(0, 80)}`);
  if (others.holders.size > mostTold) held.push(`more by ${others.holders.size - mostTold} others`);
  if (others.nameless > 0) held.push(`${others.nameless} by somebody who left no name`);
  if (held.length === 0) return undefined;
  const found = `memory: in progress ${held.join(', ')}; this is nightshift:${others.name}`;
  if (others.nameless > 0 && others.keepsTags === 'perhaps') {
    return { found, remedy: 'This list may not keep who took what: give each Nightshift a list of its own (docs/sources.md).' };
  }
  return { found, remedy: 'If one of them works no more, make its items pending again (docs/sources.md).' };
}
