import type { Connector, ConnectorParts } from './connector.ts';
import type { TodoFiles } from './todo/files.ts';
import { type RepositoryPattern, type WebhookSetting, webhookDoor, webhookSource } from './webhook/webhook.ts';

export interface SourceSettings {
  readonly todoFiles: readonly TodoFiles[];
  readonly memoryMcpUrl: string | undefined;
  readonly memoryMcpApiKey: string | undefined;
  readonly memoryMcpNotes: 'on' | 'off';
  readonly pollInterval: number;
  readonly webhooks: readonly WebhookSetting[];
}

/** Every source that is switched on. What is not is not even loaded. */
export async function connectorsOf(
  settings: SourceSettings,
  parts: ConnectorParts & { readonly repositoryPattern: RepositoryPattern },
): Promise<readonly Connector[]> {
  const { todoFiles, memoryMcpUrl: url, memoryMcpApiKey: key, pollInterval, webhooks } = settings;
  const connectors: Connector[] = webhooks.map((webhook) => ({
    source: webhookSource(webhook, parts.repositoryPattern),
    door: webhookDoor(webhook, parts.clock),
  }));
  if (todoFiles.length > 0) connectors.push((await import('./todo/connector.ts')).todoConnector(todoFiles, parts));
  if (url !== undefined) {
    const { memoryConnectors } = await import('./memory/connector.ts');
    connectors.push(...memoryConnectors({ url, key, everyMs: pollInterval * 1_000, notes: settings.memoryMcpNotes === 'on' }, parts));
  }
  return connectors;
}
