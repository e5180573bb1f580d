import { z } from 'zod';
import type { Inbox } from '../inbox/inbox.ts';
import { type Answer, at, type Call, listAll, repo } from './client.ts';
import { githubSource } from './door.ts';
import { mentions } from './mention.ts';
import type { GitHubPolicy } from './settings.ts';
import { ownBranches } from './trigger.ts';

export const asJson = { 'content-type': 'application/json' };

interface Look {
  readonly ask: (request: Call) => Promise<Answer>;
  readonly policy: GitHubPolicy;
  readonly inbox: Pick<Inbox, 'receive'>;
  readonly repository: string;
  /** The time of the last look. */
  readonly since: string;
}

/** Something that would have been delivered, as far as the lists tell it. */
interface Missed {
  readonly key: string;
  readonly kind: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** What a list has, or undefined when GitHub could not be asked just now. */
type Found = readonly Missed[] | undefined;

const maxPages = 100;

/**
 * What has happened in a repository since the last look, for a token that may not see deliveries: read from GitHub's lists and
 * handed to the inbox in the form in which GitHub would have sent it.
 */
export async function lookAround(look: Look, signal: AbortSignal): Promise<{ readonly found: number; readonly complete: boolean }> {
  const about = await look.ask({ method: 'GET', path: repo(look.repository) });
  if (about.kind !== 'ok') return { found: 0, complete: about.kind === 'missing' || about.kind === 'refused' };
  let found = 0;
  let complete = true;
  // Under the name that it has there: it is part of what names a trigger.
  const named = { ...look, repository: z.object({ full_name: z.string() }).safeParse(about.body).data?.full_name ?? look.repository };
  for (const list of [comments, reviewComments, openings, givings, reviews, failedRuns]) {
    if (signal.aborted) return { found, complete: false };
    const missed = await list(named);
    complete &&= missed !== undefined;
    for (const { key, kind, payload } of missed ?? []) {
      const body = Buffer.from(JSON.stringify({ repository: about.body, ...payload }));
      const receipt = await look.inbox.receive({ source: githubSource, key: `poll-${key}`, kind, headers: asJson, body });
      if (receipt.kind === 'stored') found += 1;
    }
  }
  return { found, complete };
}

const user = z.looseObject({ login: z.string() }).nullish();
const said = { body: z.string().nullish(), user };
const comment = z.looseObject({ ...said, id: z.int(), updated_at: z.string() });
const issueComment = comment.extend({ issue_url: z.string() });
const pullComment = comment.extend({ pull_request_url: z.string() });
const opening = z.looseObject({ ...said, number: z.int(), created_at: z.string(), pull_request: z.unknown().optional() });
const giving = z.looseObject({
  id: z.int(),
  event: z.string(),
  created_at: z.string(),
  actor: user,
  assignee: user,
  requested_reviewer: user,
  review_requester: user,
  label: z.object({ name: z.string() }).nullish(),
  issue: z.looseObject({ number: z.int(), pull_request: z.unknown().optional() }),
});
const pull = z.looseObject({ number: z.int(), updated_at: z.string(), head: z.looseObject({ ref: z.string() }) });
const review = z.looseObject({ ...said, id: z.int(), submitted_at: z.string().nullish() });
const workflowRun = z.looseObject({
  id: z.int(),
  run_attempt: z.int().default(1),
  conclusion: z.string().nullish(),
  head_branch: z.string().nullish(),
});

async function comments(look: Look): Promise<Found> {
  const path = `${repo(look.repository)}/issues/comments?sort=updated&direction=asc&since=${encodeURIComponent(look.since)}`;
  return eachOf(look, path, issueComment, async (item) => {
    if (!speaksToUs(look, item.body)) return [];
    const issue = await thing(look, at`/issues/${numberIn(item.issue_url)}`);
    return issue?.map((found) => ({
      key: `comment-${item.id}-${item.updated_at}`,
      kind: 'issue_comment',
      payload: { action: 'created', comment: item, issue: found, sender: item.user },
    }));
  });
}

async function reviewComments(look: Look): Promise<Found> {
  const path = `${repo(look.repository)}/pulls/comments?sort=updated&direction=asc&since=${encodeURIComponent(look.since)}`;
  return eachOf(look, path, pullComment, async (item) => {
    if (!speaksToUs(look, item.body)) return [];
    const found = await thing(look, at`/pulls/${numberIn(item.pull_request_url)}`);
    return found?.map((about) => ({
      key: `review-comment-${item.id}-${item.updated_at}`,
      kind: 'pull_request_review_comment',
      payload: { action: 'created', comment: item, pull_request: about, sender: item.user },
    }));
  });
}

/** New issues and pull requests that speak to us. */
async function openings(look: Look): Promise<Found> {
  const path = `${repo(look.repository)}/issues?state=all&sort=updated&direction=asc&since=${encodeURIComponent(look.since)}`;
  return eachOf(look, path, opening, async (item) => {
    if (item.created_at < look.since || !speaksToUs(look, item.body)) return [];
    const key = `opened-${item.number}`;
    if (!isSet(item.pull_request)) return [{ key, kind: 'issues', payload: { action: 'opened', issue: item, sender: item.user } }];
    const found = await thing(look, at`/pulls/${item.number}`);
    return found?.map((about) => ({ key, kind: 'pull_request', payload: { action: 'opened', pull_request: about, sender: item.user } }));
  });
}

/** Labels, assignments and review requests. Newest first, so the pages are left where they become old. */
async function givings(look: Look): Promise<Found> {
  const path = `${repo(look.repository)}/issues/events`;
  return eachOf(
    look,
    path,
    giving,
    async (item) => {
      const action = actionOf(item, look.policy);
      if (action === undefined) return [];
      const isPull = isSet(item.issue.pull_request);
      const { label, assignee, requested_reviewer } = item;
      const sender = action === 'review_requested' ? (item.review_requester ?? item.actor) : item.actor;
      const given = { action, label, assignee, requested_reviewer, sender };
      const key = `event-${item.id}`;
      // The time of the event, which is what names it: the thing itself may have changed since.
      const when = { updated_at: item.created_at };
      if (!isPull) return [{ key, kind: 'issues', payload: { ...given, issue: { ...item.issue, ...when } } }];
      const found = await thing(look, at`/pulls/${item.issue.number}`);
      return found?.map((about) => ({ key, kind: 'pull_request', payload: { ...given, pull_request: { ...about, ...when } } }));
    },
    (item) => item.created_at < look.since,
  );
}

function actionOf({ event, label, assignee, requested_reviewer }: z.output<typeof giving>, policy: GitHubPolicy): string | undefined {
  if (event === 'labeled' && same(label?.name, policy.label)) return event;
  if (event === 'assigned' && isUs(assignee?.login, policy)) return event;
  return event === 'review_requested' && isUs(requested_reviewer?.login, policy) ? event : undefined;
}

/** Reviews have no list of a whole repository: those of the pull requests that something has happened to. */
async function reviews(look: Look): Promise<Found> {
  const path = `${repo(look.repository)}/pulls?state=open&sort=updated&direction=desc`;
  return eachOf(
    look,
    path,
    pull,
    async (about) => {
      const listed = await listAll(read(look), repo(look.repository) + at`/pulls/${about.number}/reviews`, maxPages);
      if (listed.kind !== 'ok') return passing(listed) ? undefined : [];
      const submitted = listed.items.flatMap((item) => review.safeParse(item).data ?? []);
      return submitted
        .filter(({ submitted_at }) => (submitted_at ?? '') >= look.since)
        .filter(({ body }) => about.head.ref.startsWith(ownBranches) || speaksToUs(look, body))
        .map((item) => ({
          key: `review-${item.id}`,
          kind: 'pull_request_review',
          payload: { action: 'submitted', review: item, pull_request: about, sender: item.user },
        }));
    },
    (about) => about.updated_at < look.since,
  );
}

/** One that began before the last look may have failed after it. */
const longestRunMs = 6 * 3_600_000;

async function failedRuns(look: Look): Promise<Found> {
  const begun = new Date(Date.parse(look.since) - longestRunMs).toISOString();
  const path = `${repo(look.repository)}/actions/runs?status=failure&created=${encodeURIComponent(`>=${begun}`)}`;
  return eachOf(look, path, workflowRun, async (run) => {
    const branch = run.head_branch ?? '';
    if (run.conclusion !== 'failure' || !(branch.startsWith(ownBranches) || look.policy.branches.includes(branch))) return [];
    return [{ key: `run-${run.id}-${run.run_attempt}`, kind: 'workflow_run', payload: { action: 'completed', workflow_run: run } }];
  });
}

/**
 * Goes through a list, up to where it is `old`. What GitHub does not show to this token is nothing; what it cannot show just now
 * makes the whole undefined.
 */
async function eachOf<T>(
  look: Look,
  path: string,
  schema: z.ZodType<T>,
  missedIn: (item: T) => Promise<Found>,
  old: (item: T) => boolean = () => false,
): Promise<Found> {
  const readList = async (page: string): Promise<Answer> => {
    const answer = await read(look)(page);
    return answer.kind === 'ok' ? { ...answer, body: itemsIn(answer.body) } : answer;
  };
  const listed = await listAll(readList, path, maxPages, (items) => items.some((item) => isOld(schema, item, old)));
  if (listed.kind !== 'ok') return passing(listed) ? undefined : [];
  const missed: Missed[] = [];
  for (const item of listed.items) {
    const parsed = schema.safeParse(item).data;
    if (parsed === undefined || old(parsed)) continue;
    const found = await missedIn(parsed);
    if (found === undefined) return undefined;
    missed.push(...found);
  }
  return missed;
}

function isOld<T>(schema: z.ZodType<T>, item: unknown, old: (item: T) => boolean): boolean {
  const parsed = schema.safeParse(item).data;
  return parsed !== undefined && old(parsed);
}

/** Lists are arrays, but for those of workflow runs. */
const itemsIn = (body: unknown): unknown => (Array.isArray(body) ? body : (body as { workflow_runs?: unknown } | null)?.workflow_runs);

/** One, or none when it is gone; undefined when it cannot be read just now. */
async function thing(look: Look, path: string): Promise<readonly Readonly<Record<string, unknown>>[] | undefined> {
  const answer = await read(look)(repo(look.repository) + path);
  if (answer.kind !== 'ok') return passing(answer) ? undefined : [];
  return [answer.body as Record<string, unknown>];
}

const read =
  ({ ask }: Look) =>
  (path: string): Promise<Answer> =>
    ask({ method: 'GET', path });

const passing = ({ kind }: Answer): boolean => kind === 'limited' || kind === 'unreachable';

const speaksToUs = ({ policy }: Look, body: string | null | undefined): boolean => mentions(body ?? '', policy.botName);

const isUs = (login: string | undefined, { botName }: GitHubPolicy): boolean => same(login, botName) || same(login, `${botName}[bot]`);

const numberIn = (url: string): string => url.split('/').at(-1) ?? '';

const isSet = (value: unknown): boolean => value !== undefined && value !== null;

const same = (a: string | undefined, b: string): boolean => a?.toLowerCase() === b.toLowerCase();
