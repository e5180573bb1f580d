import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface GitHubComment {
  readonly id: number;
  readonly issue: number;
  body: string;
  readonly created_at: string;
  updated_at: string;
}

export interface GitHubReview {
  readonly id: number;
  readonly pull: number;
  readonly body: string;
  readonly event: string;
  readonly commit: string | null;
  readonly comments: readonly Readonly<Record<string, unknown>>[];
}

export interface GitHubCall {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

/** How a call goes wrong. `done` does what was asked and then fails to say so. */
export type Mishap =
  | { readonly kind: 'answer'; readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown }
  | { readonly kind: 'cut'; readonly done: boolean }
  | { readonly kind: 'hang' };

/**
 * The part of GitHub's API that answers go through, written from its documentation and knowing nothing of our client. It
 * keeps what it was told, so that a test can count what people would see.
 */
export class GitHubServer {
  readonly calls: GitHubCall[] = [];
  readonly authorizations: string[] = [];
  readonly comments: GitHubComment[] = [];
  readonly reactions: { readonly to: string; readonly content: string }[] = [];
  readonly statuses: { readonly sha: string; readonly state: string }[] = [];
  readonly pulls: { readonly number: number; title: string; body: string; readonly head: string; readonly base: string }[] = [];
  readonly reviews: GitHubReview[] = [];
  /** What GET answers for a path, beside the above. */
  readonly things = new Map<string, unknown>();
  /** Asked before each call. */
  mishap: (call: GitHubCall) => Mishap | undefined = () => undefined;
  /** Whose token it is that speaks. */
  login = 'nightshift';
  private next = 1_000;
  private readonly server = createServer((request, response) => void this.handle(request, response));

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const call: GitHubCall = { method: request.method ?? '', path: request.url ?? '', body: text === '' ? undefined : JSON.parse(text) };
    this.calls.push(call);
    this.authorizations.push(request.headers.authorization ?? '');
    const mishap = this.mishap(call);
    if (mishap?.kind === 'hang') return;
    if (mishap?.kind === 'answer') {
      response.writeHead(mishap.status, { 'content-type': 'application/json', ...mishap.headers });
      response.end(Buffer.isBuffer(mishap.body) ? mishap.body : JSON.stringify(mishap.body ?? { message: 'something went wrong' }));
      return;
    }
    if (mishap?.kind === 'cut') {
      if (mishap.done) this.answer(call);
      request.socket.destroy();
      return;
    }
    const [status, body] = /^(?:Bearer|token) \S/.test(request.headers.authorization ?? '')
      ? this.answer(call)
      : [401, { message: 'Requires authentication' }];
    response.writeHead(status as number, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  private answer({ method, path, body }: GitHubCall): readonly [number, unknown] {
    const { pathname, searchParams } = new URL(path, 'http://api');
    const rest = /^\/repos\/[^/]+\/[^/]+\/(.*)$/.exec(pathname)?.[1] ?? '';
    const given = (body ?? {}) as Record<string, string>;
    const page = <T>(items: readonly T[]): readonly [number, readonly T[]] => {
      const size = Number(searchParams.get('per_page') ?? 30);
      const from = (Number(searchParams.get('page') ?? 1) - 1) * size;
      return [200, items.slice(from, from + size)];
    };
    const now = new Date().toISOString();

    const commentsOf = /^issues\/(\d+)\/comments$/.exec(rest)?.[1];
    if (commentsOf !== undefined && method === 'GET') {
      const since = searchParams.get('since');
      return page(
        this.comments
          .filter(({ issue, updated_at }) => issue === Number(commentsOf) && (since === null || updated_at >= since))
          .map((each) => ({ ...each, user: { login: 'somebody' }, author_association: 'NONE' })),
      );
    }
    if (commentsOf !== undefined && method === 'POST') {
      const comment = { id: this.next++, issue: Number(commentsOf), body: given['body'] ?? '', created_at: now, updated_at: now };
      this.comments.push(comment);
      return [201, comment];
    }
    const commentId = /^issues\/comments\/(\d+)$/.exec(rest)?.[1];
    if (commentId !== undefined && method === 'PATCH') {
      const comment = this.comments.find(({ id }) => id === Number(commentId));
      if (!comment) return [404, { message: 'Not Found' }];
      comment.body = given['body'] ?? '';
      comment.updated_at = now;
      return [200, comment];
    }
    if (rest.endsWith('/reactions') && method === 'POST') {
      const reaction = { to: rest.replace(/\/reactions$/, ''), content: given['content'] ?? '' };
      // One of each kind from each of us: given again, it is the one that is there.
      if (this.reactions.some(({ to, content }) => to === reaction.to && content === reaction.content)) return [200, { id: 1 }];
      this.reactions.push(reaction);
      return [201, { id: this.next++ }];
    }
    const sha = /^statuses\/(\w+)$/.exec(rest)?.[1];
    if (sha !== undefined && method === 'POST') {
      this.statuses.push({ sha, state: given['state'] ?? '' });
      return [201, { id: this.next++ }];
    }
    const set = method === 'GET' ? this.things.get(pathname) : undefined;
    if (Array.isArray(set)) return page(set);
    if (rest === 'pulls' && method === 'GET') {
      const head = searchParams.get('head')?.split(':')[1];
      return page(
        this.pulls.filter((pull) => head === undefined || pull.head === head).map((pull) => ({ ...pull, head: { ref: pull.head } })),
      );
    }
    if (rest === 'pulls' && method === 'POST') {
      if (this.pulls.some(({ head }) => head === given['head'])) return [422, { message: 'A pull request already exists' }];
      const pull = {
        number: this.next++,
        title: given['title'] ?? '',
        body: given['body'] ?? '',
        head: given['head'] ?? '',
        base: given['base'] ?? '',
      };
      this.pulls.push(pull);
      return [201, pull];
    }
    const reviewsOf = /^pulls\/(\d+)\/reviews$/.exec(rest)?.[1];
    if (reviewsOf !== undefined && method === 'GET') return page(this.reviews.filter(({ pull }) => pull === Number(reviewsOf)));
    if (reviewsOf !== undefined && method === 'POST')
      return this.review(Number(reviewsOf), pathname, (body ?? {}) as Record<string, unknown>);
    const pullNumber = /^pulls\/(\d+)$/.exec(rest)?.[1];
    if (pullNumber !== undefined && method === 'PATCH') {
      const pull = this.pulls.find(({ number }) => number === Number(pullNumber));
      if (!pull) return [404, { message: 'Not Found' }];
      Object.assign(pull, { title: given['title'], body: given['body'] });
      return [200, pull];
    }
    return set === undefined ? [404, { message: 'Not Found' }] : [200, set];
  }

  /** As GitHub does: all of it, or for one bad line nothing. */
  private review(pull: number, pathname: string, given: Record<string, unknown>): readonly [number, unknown] {
    const refuse = (message: string): readonly [number, unknown] => [422, { message: 'Unprocessable Entity', errors: [message] }];
    const about = this.things.get(pathname.replace('/reviews', '')) as { user?: { login?: string } } | undefined;
    if (about === undefined) return [404, { message: 'Not Found' }];
    const event = String(given['event']);
    if (event !== 'COMMENT' && about.user?.login === this.login) return refuse('Can not request changes on your own pull request');
    const files = (this.things.get(pathname.replace('/reviews', '/files')) ?? []) as { filename: string; patch?: string }[];
    const comments = (given['comments'] ?? []) as { path: string; line: number; start_line?: number; side: string }[];
    for (const { path, line, start_line: start = line, side } of comments) {
      const hunks = (files.find(({ filename }) => filename === path)?.patch ?? '').split(/^@@ /m).slice(1);
      const holds = hunks.some((hunk) => {
        const [head = '', ...lines] = hunk.split('\n');
        const [, from = 0] = (side === 'LEFT' ? /^-(\d+)/ : /\+(\d+)/).exec(head)?.map(Number) ?? [];
        const count = lines.filter((each) => each !== '' && !each.startsWith(side === 'LEFT' ? '+' : '-')).length;
        return start >= from && line < from + count && start <= line;
      });
      if (!holds) return refuse('Line could not be resolved');
    }
    const review: GitHubReview = {
      id: this.next++,
      pull,
      body: String(given['body'] ?? ''),
      event,
      commit: (given['commit_id'] as string | undefined) ?? null,
      comments: comments as unknown as GitHubReview['comments'],
    };
    this.reviews.push(review);
    return [200, review];
  }
}
