import { createMcpHandler } from '@modelcontextprotocol/server';
import type { Clock } from '../platform/clock.ts';
import type { Api } from './api.ts';
import { createMcpServer } from './server.ts';

/** The tools over HTTP. Each request brings its own key, and the tools reach the API with that one and no other. */
export function mcpOverHttp(parts: {
  readonly clock: Clock;
  readonly version: string;
  /** Asked for each request, within it. */
  readonly apiFor: () => Api;
}): {
  fetch(request: Request): Promise<Response>;
  close(): Promise<void>;
} {
  return createMcpHandler(() => createMcpServer({ ...parts, api: parts.apiFor() }));
}
