import type { Context } from 'hono';
import { idPrefixes } from '../domain/id.ts';
import type { NewId } from '../platform/ids.ts';
import type { AppEnv } from './env.ts';

/** For every answer; pages for people loosen some of it for themselves. */
const safeguards = [
  ['x-content-type-options', 'nosniff'],
  ['x-frame-options', 'DENY'],
  ['referrer-policy', 'no-referrer'],
  ['content-security-policy', "default-src 'none'; frame-ancestors 'none'"],
  ['cache-control', 'no-store'],
] as const;

/** What every request begins with, at whichever port. */
export function begin(context: Context<AppEnv>, newId: NewId): void {
  context.set('requestId', newId(idPrefixes.request));
  // Before the route answers: a finished answer that is touched again is copied, which costs a tenth of a request.
  context.header('x-request-id', context.get('requestId'));
  for (const [name, value] of safeguards) context.header(name, value);
}
