import type { Clock } from '../platform/clock.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import type { Store } from '../store/store.ts';
import type { Connector } from './connector.ts';
import { memoryLink } from './memory/link.ts';
import { pollMemory } from './memory/poll.ts';
import { memoryChannel, memoryReporter } from './memory/report.ts';
import { memoryItems } from './memory/source.ts';
import type { TodoFiles } from './todo/files.ts';
import { todoChannel, todoReporter } from './todo/report.ts';
import { todoFiles } from './todo/source.ts';
import { watchTodos } from './todo/watch.ts';
import { type WebhookSetting, webhookDoor, webhookSource } from './webhook/webhook.ts';

export interface SourceSettings {
  readonly todoFiles: readonly TodoFiles[];
  readonly memoryMcpUrl: string | undefined;
  readonly memoryMcpApiKey: string | undefined;
  readonly pollInterval: number;
  readonly webhooks: readonly WebhookSetting[];
}

interface Parts {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
}

/** Every source that is switched on. */
export function connectorsOf(settings: SourceSettings, parts: Parts): readonly Connector[] {
  return [
    ...(settings.todoFiles.length === 0 ? [] : [todoConnector(settings.todoFiles, parts)]),
    ...(settings.memoryMcpUrl === undefined ? [] : [memoryConnector(settings.memoryMcpUrl, settings, parts)]),
    ...settings.webhooks.map((webhook): Connector => ({ source: webhookSource(webhook), door: webhookDoor(webhook) })),
  ];
}

function todoConnector(entries: readonly TodoFiles[], parts: Parts): Connector {
  return {
    source: todoFiles({ store: parts.store, entries }),
    channel: todoChannel(parts.store),
    reporter: todoReporter(entries),
    start: ({ queue }) => watchTodos({ ...parts, queue }, entries),
  };
}

function memoryConnector(url: string, { memoryMcpApiKey, pollInterval }: SourceSettings, parts: Parts): Connector {
  const link = memoryLink({ baseUrl: url, clock: parts.clock }, memoryMcpApiKey);
  return {
    source: memoryItems,
    channel: memoryChannel(link),
    reporter: memoryReporter,
    start: () => pollMemory({ ...parts, link, list: url, everyMs: pollInterval * 1_000 }),
  };
}
