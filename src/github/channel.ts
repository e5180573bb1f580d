import type { Message } from '../domain/mail.ts';
import type { Channel, Finding, Sending } from '../outbox/channel.ts';
import type { GitHubApi } from './api.ts';
import { type Answer, at, type Call, listAll, repo } from './client.ts';
import { githubSource } from './door.ts';
import { type ReviewMessage, sendReview } from './review.ts';
import { ownMark } from './trigger.ts';

/** What can be said on GitHub; the body of a message in the outbox. */
export type GitHubMessage =
  | { readonly type: 'reaction'; readonly repository: string; readonly to: string }
  | {
      readonly type: 'comment';
      readonly repository: string;
      readonly number: number;
      readonly text: string;
      /** The branch whose pull request is named below the text, if there is one by then. */
      readonly branch?: string;
    }
  | {
      readonly type: 'commit-status';
      readonly repository: string;
      readonly commit: string;
      readonly state: 'pending' | 'success' | 'failure' | 'error';
      readonly description: string;
    }
  | {
      readonly type: 'pull-request';
      readonly repository: string;
      readonly branch: string;
      readonly base: string;
      readonly title: string;
      readonly text: string;
    }
  | ReviewMessage;

/** Hidden at the head of what we write, by which it is found again. */
const markOf = (key: string): string => `${ownMark}${key} -->`;

/** GitHub cuts nothing off: it refuses what is longer. */
const longestComment = 65_000;
const clockSlackMs = 3_600_000;
const maxPages = 30;

export function githubChannel(api: GitHubApi): Channel {
  return {
    name: githubSource,
    async send(message, signal) {
      const body = message.body as GitHubMessage;
      const ask = (request: Call): Promise<Answer> => api.in(body.repository, request, signal);
      switch (body.type) {
        // Reacting twice is reacting once, and so is setting the same status.
        case 'reaction':
          return sendingOf(await ask({ method: 'POST', path: `${repo(body.repository)}/${body.to}/reactions`, body: { content: 'eyes' } }));
        case 'commit-status':
          return sendingOf(
            await ask({
              method: 'POST',
              path: repo(body.repository) + at`/statuses/${body.commit}`,
              body: { state: body.state, context: 'nightshift', description: body.description.slice(0, 140) },
            }),
          );
        case 'comment':
          return sendComment(ask, message, body);
        case 'pull-request':
          return sendPullRequest(ask, message, body);
        case 'review':
          // One that is there says it already; and what was said about lines cannot be said anew.
          if (message.ref !== null) return { kind: 'sent', ref: message.ref };
          return sendingOf(await sendReview(ask, `${markOf(message.key)}\n`, body, longestComment), ({ id }) => id);
      }
    },

    async find(message, signal): Promise<Finding> {
      const body = message.body as GitHubMessage;
      // Whether there is a pull request of the branch is looked at before one is made, and the others may be repeated.
      if (body.type !== 'comment' && body.type !== 'review') return { kind: 'absent' };
      const since = new Date(message.createdAt - clockSlackMs).toISOString();
      const path =
        repo(body.repository) +
        (body.type === 'review' ? at`/pulls/${body.number}/reviews` : `${at`/issues/${body.number}/comments`}?since=${since}`);
      const listed = await listAll((page) => api.in(body.repository, { method: 'GET', path: page }, signal), path, maxPages);
      if (listed.kind !== 'ok') return listed.kind === 'missing' ? { kind: 'absent' } : (postponed(listed) ?? { kind: 'absent' });
      const mark = markOf(message.key);
      const ours = listed.items.find((item) => String((item as { body?: unknown }).body ?? '').startsWith(mark)) as
        | { id: number }
        | undefined;
      return ours ? { kind: 'found', ref: String(ours.id) } : { kind: 'absent' };
    },
  };
}

type Ask = (request: Call) => Promise<Answer>;

async function sendComment(ask: Ask, message: Message, body: GitHubMessage & { readonly type: 'comment' }): Promise<Sending> {
  const base = repo(body.repository);
  let { text } = body;
  if (body.branch !== undefined) {
    const found = await pullRequestOf(ask, body.repository, body.branch);
    if (found.kind !== 'ok') return sendingOf(found);
    if (found.number !== undefined) text += `\n\nPull request: #${found.number}`;
  }
  const written = { body: `${markOf(message.key)}\n${text}`.slice(0, longestComment) };
  const answer =
    message.ref === null
      ? await ask({ method: 'POST', path: base + at`/issues/${body.number}/comments`, body: written })
      : await ask({ method: 'PATCH', path: base + at`/issues/comments/${message.ref}`, body: written });
  return sendingOf(answer, ({ id }) => id);
}

/** The branch may have a pull request already, of an earlier attempt at this or at the task: then that is the one. */
async function sendPullRequest(ask: Ask, message: Message, body: GitHubMessage & { readonly type: 'pull-request' }): Promise<Sending> {
  const base = repo(body.repository);
  const found = await pullRequestOf(ask, body.repository, body.branch);
  if (found.kind !== 'ok') return sendingOf(found);
  const written = { title: body.title, body: `${markOf(message.key)}\n${body.text}`.slice(0, longestComment) };
  const answer =
    found.number === undefined
      ? await ask({ method: 'POST', path: `${base}/pulls`, body: { ...written, head: body.branch, base: body.base } })
      : await ask({ method: 'PATCH', path: base + at`/pulls/${found.number}`, body: written });
  return sendingOf(answer, ({ number }) => number);
}

async function pullRequestOf(
  ask: Ask,
  repository: string,
  branch: string,
): Promise<{ readonly kind: 'ok'; readonly number: number | undefined } | Exclude<Answer, { kind: 'ok' }>> {
  const [owner = ''] = repository.split('/');
  const answer = await ask({
    method: 'GET',
    path: `${repo(repository)}/pulls?state=open&head=${encodeURIComponent(`${owner}:${branch}`)}`,
  });
  if (answer.kind !== 'ok') return answer;
  // Whatever else is in the list: only one of this very branch is ours.
  const found = (Array.isArray(answer.body) ? answer.body : []) as { number?: number; head?: { ref?: string } }[];
  return { kind: 'ok', number: found.find(({ head }) => head?.ref === branch)?.number };
}

function sendingOf(answer: Answer, refOf: (body: { id?: unknown; number?: unknown }) => unknown = () => null): Sending {
  if (answer.kind === 'ok') {
    const ref = refOf((answer.body ?? {}) as { id?: unknown; number?: unknown });
    return { kind: 'sent', ref: ref === null || ref === undefined ? null : String(ref) };
  }
  const later = postponed(answer);
  return later ?? { kind: 'refused', code: answer.kind === 'missing' ? 'gone' : 'github-refused', message: answer.message };
}

function postponed(answer: Exclude<Answer, { kind: 'ok' }>): Extract<Sending, { kind: 'retry' }> | undefined {
  if (answer.kind === 'limited') {
    return {
      kind: 'retry',
      code: 'github-limit',
      message: answer.message,
      afterMs: answer.afterMs,
      doubtful: false,
      wholeChannel: true,
    };
  }
  if (answer.kind === 'unreachable') {
    return { kind: 'retry', code: 'github-unreachable', message: answer.message, doubtful: answer.doubtful };
  }
  // A key that was revoked is set again by a person, and then all of it goes out.
  if (answer.kind === 'refused' && answer.status === 401) {
    return { kind: 'retry', code: 'github-key', message: answer.message, doubtful: false };
  }
  return undefined;
}
