import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { Refused, StoreUnavailable } from '../domain/errors.ts';
import type { Log } from '../platform/log.ts';
import type { AppEnv, RefusalWords } from './env.ts';

/** RFC 9457, with a stable `code` beside the members of the standard. */
export const problemSchema = z
  .object({
    type: z.string().openapi({ example: 'urn:nightshift:problem:invalid-request' }),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.string().openapi({ example: 'invalid-request' }),
    requestId: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  })
  .openapi('Problem');

export interface Problem extends RefusalWords {
  readonly code: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

const titles: Record<number, string> = {
  400: 'Bad request',
  401: 'Not signed in',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Method not allowed',
  408: 'Too slow',
  409: 'Conflict',
  413: 'Too large',
  415: 'Unsupported media type',
  422: 'Cannot be done',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Unavailable',
};

export function problem(context: Context<AppEnv>, given: Problem): Response {
  const { status, code, detail, errors, details, headers } = given;
  context.set('refusal', code);
  const body = {
    type: `urn:nightshift:problem:${code}`,
    title: titles[status] ?? 'Error',
    status,
    detail,
    code,
    requestId: context.get('requestId'),
    ...(errors ? { errors } : {}),
    ...(details && Object.keys(details).length > 0 ? { details } : {}),
    ...context.get('alsoSay')?.(given),
  };
  return context.body(JSON.stringify(body), status as ContentfulStatusCode, { 'content-type': 'application/problem+json', ...headers });
}

/** What was thrown, as an answer. Defects are logged whole and answered without their insides. */
export function problemOf(context: Context<AppEnv>, error: unknown, log: Log): Response {
  if (error instanceof StoreUnavailable) {
    return problem(context, { status: 503, code: error.code, detail: error.message, headers: { 'retry-after': '2' } });
  }
  if (error instanceof Refused) {
    return problem(context, { status: error.status, code: error.code, detail: error.message, details: error.details });
  }
  if (error instanceof HTTPException && error.status < 500) {
    const code = error.status === 415 ? 'not-json' : 'invalid-request';
    return problem(context, { status: error.status, code, detail: error.message || 'The request cannot be read.' });
  }
  log.error({ err: error, requestId: context.get('requestId'), path: context.req.path }, 'a request failed');
  return problem(context, {
    status: 500,
    code: 'internal',
    detail: `Something broke inside. The server's log has the details under request ${context.get('requestId')}.`,
  });
}
