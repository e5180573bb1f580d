import type { OpenAPIHono } from '@hono/zod-openapi';

/** What a request carries from the door to its route. */
export interface AppEnv {
  Variables: {
    requestId: string;
    user: string;
    /** What a refusal says besides, for clients that look for it under the names of another runtime. */
    alsoSay?: (refusal: RefusalWords) => Readonly<Record<string, unknown>>;
  };
}

export interface RefusalWords {
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
}

export type App = OpenAPIHono<AppEnv>;
