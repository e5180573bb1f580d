import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from 'hono';
import { Refused } from '../../domain/errors.ts';
import type { Api } from '../../mcp/api.ts';
import type { App, AppEnv } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { newRouter } from '../router.ts';

/** Streamable HTTP for MCP clients. Loaded with the first of them: most servers never see one. */
export function mcpRoutes({ clock, version }: ServerParts, app: App): App {
  /** What the tools ask for comes from where the client's request came from, with its key. The SDK hands on a copy of that, so it is kept here. */
  const asking = new AsyncLocalStorage<Context<AppEnv>>();
  const apiFor = (): Api => {
    const from = asking.getStore();
    const header = (name: string): string => from?.req.header(name) ?? '';
    return {
      async request(method, path, body) {
        const response = await app.request(
          path,
          {
            method,
            headers: {
              authorization: header('authorization'),
              'x-forwarded-for': header('x-forwarded-for'),
              ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            },
            ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          },
          from?.env,
        );
        return { status: response.status, body: await response.json() };
      },
    };
  };
  let handler: Promise<{ fetch(request: Request): Promise<Response> }> | undefined;
  const router = newRouter();
  router.all('/mcp', async (context) => {
    const { req } = context;
    const origin = req.header('origin');
    if (origin !== undefined && !isLocal(origin)) {
      throw new Refused(
        403,
        'foreign-origin',
        `A page at ${origin.slice(0, 200)} may not speak MCP here; only programs, and pages of this machine.`,
      );
    }
    handler ??= import('../../mcp/http.ts').then(({ mcpOverHttp }) => mcpOverHttp({ clock, version, apiFor }));
    const { fetch } = await handler;
    return asking.run(context, () => fetch(req.raw));
  });
  return router;
}

/** A page elsewhere could make its own name point here and then speak for whoever opened it. */
function isLocal(origin: string): boolean {
  return URL.canParse(origin) && ['localhost', '127.0.0.1', '[::1]'].includes(new URL(origin).hostname);
}
