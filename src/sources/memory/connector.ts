import type { Connector, ConnectorParts } from '../connector.ts';
import { memoryLink } from './link.ts';
import { pollMemory } from './poll.ts';
import { memoryChannel, memoryReporter } from './report.ts';
import { memoryItems } from './source.ts';

export function memoryConnector(
  { url, key, everyMs }: { readonly url: string; readonly key: string | undefined; readonly everyMs: number },
  parts: ConnectorParts,
): Connector {
  const link = memoryLink({ baseUrl: url, clock: parts.clock }, key);
  return {
    source: memoryItems,
    channel: memoryChannel(link),
    reporter: memoryReporter,
    start: () => pollMemory({ ...parts, link, list: url, everyMs }),
  };
}
