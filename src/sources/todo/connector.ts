import type { Connector, ConnectorParts } from '../connector.ts';
import type { TodoFiles } from './files.ts';
import { todoChannel, todoReporter } from './report.ts';
import { todoFiles } from './source.ts';
import { watchTodos } from './watch.ts';

export const todoConnector = (entries: readonly TodoFiles[], parts: ConnectorParts): Connector => ({
  source: todoFiles({ store: parts.store, entries }),
  channel: todoChannel(parts.store),
  reporter: todoReporter(entries),
  start: ({ queue }) => watchTodos({ ...parts, queue }, entries),
});
