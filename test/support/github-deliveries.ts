import { createHmac, randomUUID } from 'node:crypto';
import examples from '@octokit/webhooks-examples' with { type: 'json' };

export const webhookSecret = 'a webhook secret for tests';

/** Real deliveries of GitHub, as it documents them: event and payload. */
export const githubExamples = (
  examples as unknown as readonly { readonly name: string; readonly examples: readonly Record<string, unknown>[] }[]
).flatMap(({ name, examples: payloads }) => payloads.map((payload) => ({ event: name, payload })));

export const signatureOf = (body: string | Uint8Array, secret = webhookSecret): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

export interface Delivered {
  readonly status: number;
  readonly body: { readonly id?: string; readonly duplicate?: boolean; readonly code?: string };
}

/** Sends a delivery as GitHub does. */
export async function deliver(
  address: string,
  event: string,
  payload: unknown,
  headers: Readonly<Record<string, string>> = {},
  path = '/webhook/github',
): Promise<Delivered> {
  const body = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const response = await fetch(address + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-github-event': event,
      'x-github-delivery': randomUUID(),
      'x-hub-signature-256': signatureOf(body),
      ...headers,
    },
    body,
  });
  return { status: response.status, body: (await response.json()) as Delivered['body'] };
}

const repository = {
  full_name: 'octo/garden',
  clone_url: 'https://github.com/octo/garden.git',
  default_branch: 'main',
};
const sha = 'a'.repeat(40);

export interface CommentWish {
  readonly id?: number;
  readonly issue?: number;
  readonly login?: string;
  readonly type?: string;
  readonly association?: string;
  readonly action?: string;
  readonly from?: string;
  readonly pull?: boolean;
}

/** Somebody comments on an issue, in the form of a real delivery. */
export function commentPayload(body: string, wish: CommentWish = {}): Record<string, unknown> {
  const example = githubExamples.find(({ event, payload }) => event === 'issue_comment' && payload['action'] === 'created');
  const user = { login: wish.login ?? 'ann', type: wish.type ?? 'User' };
  const now = new Date().toISOString();
  const { issue, comment, ...rest } = structuredClone(example?.payload) as Record<'issue' | 'comment', Record<string, unknown>>;
  return {
    ...rest,
    action: wish.action ?? 'created',
    repository,
    sender: user,
    issue: { ...issue, number: wish.issue ?? 12, title: 'The gate squeaks', ...(wish.pull ? { pull_request: { url: 'x' } } : {}) },
    comment: {
      ...comment,
      id: wish.id ?? Math.floor(Math.random() * 1e9) + 1,
      body,
      user,
      author_association: wish.association ?? 'COLLABORATOR',
      updated_at: now,
    },
    ...(wish.from === undefined ? {} : { changes: { body: { from: wish.from } } }),
  };
}

/** A pull request as the API and the deliveries show one. */
export const pullPayload = (number: number, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => ({
  number,
  title: 'Oil the gate',
  body: 'It squeaks less now.',
  user: { login: 'ann', type: 'User' },
  author_association: 'COLLABORATOR',
  labels: [],
  head: { ref: 'oil', sha, repo: { full_name: repository.full_name } },
  base: { ref: 'main', sha: 'b'.repeat(40), repo: { full_name: repository.full_name } },
  updated_at: '2026-01-01T00:00:00Z',
  ...more,
});

export const gardenRepository = repository;
