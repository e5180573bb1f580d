import type { OpenAPIHono } from '@hono/zod-openapi';

/** What a request carries from the door to its route. */
export interface AppEnv {
  Variables: { requestId: string; user: string };
}

export type App = OpenAPIHono<AppEnv>;
