import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Requirement } from '../domain/access.ts';
import type { Caller, Credential } from './access/caller.ts';

/** What a request carries from the door to its route. */
export interface AppEnv {
  /** Absent when a test calls the app without a socket. */
  Bindings: Partial<HttpBindings>;
  Variables: {
    requestId: string;
    /** Of the route that will answer; absent when there is none. */
    requirement?: Requirement;
    /** Who sent it, in a word. */
    user: string;
    /** Absent before the door. */
    caller?: Caller;
    credential?: Credential;
    /** Absent where no traces are kept. */
    span?: RequestSpan;
    /** The code of what it was refused with. */
    refusal?: string;
    /** What a refusal says besides, for clients that look for it under the names of another runtime. */
    alsoSay?: (refusal: RefusalWords) => Readonly<Record<string, unknown>>;
  };
}

export interface RequestSpan {
  /** What is asked for by this request belongs below it. */
  readonly traceparent: string;
  end(answer: { readonly method: string; readonly route: string | null; readonly status: number }): void;
}

export interface RefusalWords {
  readonly status: number;
  readonly detail: string;
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
}

export type App = OpenAPIHono<AppEnv>;
