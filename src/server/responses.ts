import type { z } from '@hono/zod-openapi';
import { problemSchema } from './problem.ts';

export const json = <T extends z.ZodType>(schema: T, description: string) => ({ description, content: { 'application/json': { schema } } });

export const meanings: Record<number, string> = {
  400: 'The request is malformed; `errors` names each bad field.',
  401: 'No key, or a wrong one.',
  403: "Your role or the key's scopes do not allow that, or a browser's cookie came from another page than ours.",
  404: 'There is no such thing.',
  408: 'The body did not arrive in time.',
  409: 'Its present state does not allow that.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
  422: 'Well-formed, but it could never work.',
  429: 'Too many requests or wrong tries; `retry-after` says when to try again.',
  503: 'The store does not answer. Nothing was changed; try again.',
};

type Refusals<S extends number> = {
  [K in S]: { description: string; content: { 'application/problem+json': { schema: typeof problemSchema } } };
};

/** Whoever is asked for a key may also be refused for what it may not, and for coming too often. */
export const withRefusalsOfTheDoor = (statuses: readonly number[]): readonly number[] =>
  statuses.includes(401) ? [...new Set([...statuses, 403, 429])].sort() : statuses;

/** The refusals a route may give, all of one form. */
export function answers<const S extends number>(...statuses: S[]): Refusals<S> {
  return Object.fromEntries(
    withRefusalsOfTheDoor(statuses).map((status) => [
      status,
      { description: meanings[status] ?? '', content: { 'application/problem+json': { schema: problemSchema } } },
    ]),
  ) as Refusals<S>;
}
