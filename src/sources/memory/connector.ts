import type { Connector, ConnectorParts } from '../connector.ts';
import { memoryLink } from './link.ts';
import { pollMemory } from './poll.ts';
import { memoryChannel, memoryReporter } from './report.ts';
import { memoryItems } from './source.ts';

export function memoryConnector(
  { url, key, everyMs }: { readonly url: string; readonly key: string | undefined; readonly everyMs: number },
  parts: ConnectorParts,
): Connector {
  const list = url.replace(/\/+$/, '');
  const link = memoryLink({ baseUrl: list, clock: parts.clock }, key);
  return {
    source: memoryItems,
    channel: memoryChannel(link, list),
    reporter: memoryReporter,
    start: () => pollMemory({ ...parts, link, list, everyMs }),
  };
}
