import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Session } from './sessions.ts';

/** What a request carries from the door to its route. */
export interface AppEnv {
  /** Absent when a test calls the app without a socket. */
  Bindings: Partial<HttpBindings>;
  Variables: {
    requestId: string;
    user: string;
    /** There when a browser's cookie opened the door. */
    session?: Session;
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
