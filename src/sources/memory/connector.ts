import type { Connector, ConnectorParts } from '../connector.ts';
import { memoryLink } from './link.ts';
import { memoryMirror, mirrorChannel } from './mirror.ts';
import { pollMemory } from './poll.ts';
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
  return [
    {
      source: memoryItems,
      channel: memoryChannel(link, list),
      reporter: memoryReporter,
      start: () => pollMemory({ ...parts, link, list, everyMs }),
    },
    ...(notes ? [{ channel: mirrorChannel(link, list, parts.store), mirror: memoryMirror(list) }] : []),
  ];
}
