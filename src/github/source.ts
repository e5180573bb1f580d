import type { Delivery } from '../domain/mail.ts';
import type { Reading, Source, Wanted } from '../inbox/source.ts';
import type { Clock } from '../platform/clock.ts';
import { originsOf } from '../store/inbox.ts';
import type { Store } from '../store/store.ts';
import type { GitHubApi } from './api.ts';
import { type Failure, patiently } from './client.ts';
import { githubSource } from './door.ts';
import { oneLine, shortened } from './markdown.ts';
import { isEventKind, type PullRequest, payloads } from './payload.ts';
import type { GitHubPolicy } from './settings.ts';
import { bodyOf, nothing, readThread, type Thread } from './thread.ts';
import { isFromFork, ownBranches, type Trigger, verdictOn } from './trigger.ts';

export interface GitHubSourceParts {
  readonly api: GitHubApi;
  readonly policy: GitHubPolicy;
  readonly store: Pick<Store, 'read'>;
  readonly clock: Clock;
}

/** What is needed to answer where a task came from. Kept with the task for ever, so fields are only ever added. */
export interface Address {
  readonly repository: string;
  readonly number: number | null;
  readonly isPull: boolean;
  readonly reactTo: string | null;
  /** The branch that the work is for. */
  readonly base: string | null;
  /** The commit whose status tells how it goes. */
  readonly commit: string | null;
}

/** What GitHub's deliveries ask for. */
export function githubSourceOf(parts: GitHubSourceParts): Source {
  const { api, policy, clock } = parts;
  return {
    name: githubSource,
    async read(delivery, body, signal): Promise<Reading> {
      if (!isEventKind(delivery.kind)) return ignored('not-ours', `${delivery.kind} is nothing that we act on.`);
      const json = parsed(delivery, body);
      if (json === undefined) return { kind: 'failed', reason: { code: 'not-json', message: 'The content is not JSON.' } };
      const payload = payloads[delivery.kind].safeParse(json);
      if (!payload.success) {
        const [issue] = payload.error.issues;
        const message = `The content is not as expected: ${issue?.path.join('.')}: ${issue?.message}.`;
        return { kind: 'failed', reason: { code: 'unexpected-content', message } };
      }
      const verdict = verdictOn(delivery.kind, payload.data as never, policy);
      if (verdict.kind === 'ignored') return ignored(verdict.code, verdict.message);
      const { trigger } = verdict;
      if (await isRepairOfRepair(parts, trigger)) {
        return ignored('repaired-before', 'A repair of ours fails on its own branch; mending mends would never end.');
      }
      if (!api.canSpeak) return work(trigger, nothing, delivery, policy);
      const read = (path: string) => patiently(clock, () => api.in(trigger.repository.full_name, { method: 'GET', path }, signal), signal);
      const thread = await readThread(read, trigger);
      return thread.kind === 'ok' ? work(trigger, thread.thread, delivery, policy) : afterFailure(thread);
    },
  };
}

/** Deliveries come as JSON, or as a form with the JSON in it. */
function parsed({ headers }: Delivery, body: Buffer): unknown {
  const text = body.toString();
  const json = headers['content-type'] === 'application/x-www-form-urlencoded' ? (new URLSearchParams(text).get('payload') ?? '') : text;
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
}

/** Our repairs of workflows get branches of their own, on which workflows run too. */
async function isRepairOfRepair({ store }: GitHubSourceParts, { ref, key }: Trigger): Promise<boolean> {
  const taskId = /^nightshift\/(tsk_[0-9A-Z]{26})(?:-|$)/.exec(ref ?? '')?.[1];
  if (!key.includes('/workflow/') || taskId === undefined) return false;
  const origins = await originsOf(store.read, [taskId]);
  return origins.some(({ source, trigger }) => source === githubSource && trigger.includes('/workflow/'));
}

function work(trigger: Trigger, thread: Thread, delivery: Delivery, policy: GitHubPolicy): Reading {
  const { repository, number } = trigger;
  const pull = thread.pull ?? trigger.pull;
  const address: Address = {
    repository: repository.full_name,
    number,
    isPull: trigger.isPull,
    reactTo: trigger.reactTo,
    base: pull && !isFromFork(pull) ? pull.head.ref : (pull?.base.ref ?? trigger.ref ?? repository.default_branch ?? null),
    commit: pull?.head.sha ?? trigger.commit,
  };
  const ref = trigger.ref ?? refOf(trigger, pull);
  // Not knowing whose branch it is counts as knowing that it is a stranger's.
  const fork = trigger.isPull && (pull === null || isFromFork(pull));
  const wanted: Wanted = {
    trigger: trigger.key,
    aliases: trigger.aliases,
    address,
    wish: {
      title: titleOf(trigger),
      body: bodyOf(trigger, thread, delivery.id),
      source: githubSource,
      externalRef: number === null ? `${repository.full_name}@${trigger.ref ?? ''}` : `${repository.full_name}#${number}`,
      requestedBy: `github:${trigger.by}`,
      trust: fork ? 'untrusted' : trigger.trust,
      priority: 'high',
      repository: repository.clone_url,
      ...(ref === undefined ? {} : { ref }),
      dedupeKey: `${githubSource}:${trigger.key}`,
      engine: policy.engine,
      labels: [...new Set(trigger.labels.map((name) => shortened(oneLine(name), 100)).filter((name) => name !== ''))].slice(0, 50),
      deliverable: trigger.wants,
      // A pull request of ours is gone on with; one of a person's gets a pull request into its branch.
      ...(pull && goesOnIn(pull, trigger) ? { branch: pull.head.ref } : {}),
      // What is pushed is built with the repository's own secrets, and this would push what a stranger wrote.
      needsApproval: trigger.needsApproval || (fork && trigger.wants === 'changes'),
    },
  };
  return { kind: 'work', wanted: [wanted] };
}

const goesOnIn = (pull: PullRequest, { wants }: Trigger): boolean =>
  wants === 'changes' && !isFromFork(pull) && pull.head.ref.startsWith(ownBranches);

/** The pull request's own branch; of a fork, the copy of it that GitHub keeps beside our branches. */
function refOf({ isPull, number }: Trigger, pull: PullRequest | null): string | undefined {
  if (!isPull || number === null) return undefined;
  return pull && !isFromFork(pull) ? pull.head.ref : `refs/pull/${number}/head`;
}

function titleOf({ request, title }: Trigger): string {
  const first = oneLine(request.split('\n').find((line) => line.trim() !== '') ?? '');
  return shortened(first.length >= 8 ? first : oneLine(`${first} ${title}`), 200) || 'A request from GitHub';
}

function afterFailure(failure: Failure): Reading {
  const { message } = failure;
  switch (failure.kind) {
    case 'missing':
      return ignored('gone', `The thread is not there any more, or not for us. ${message}`);
    case 'refused':
      return { kind: 'failed', reason: { code: 'github-refused', message } };
    case 'limited':
      return { kind: 'later', reason: { code: 'github-limit', message }, afterMs: failure.afterMs };
    case 'unreachable':
      return { kind: 'later', reason: { code: 'github-unreachable', message } };
  }
}

const ignored = (code: string, message: string): Reading => ({ kind: 'ignored', reason: { code, message } });
