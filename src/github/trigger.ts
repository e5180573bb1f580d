import type { Deliverable, Trust } from '../domain/task.ts';
import { mentions, withoutAddress } from './mention.ts';
import type { EventKind, Payload, PullRequest, Repository } from './payload.ts';
import type { GitHubPolicy } from './settings.ts';

/** What somebody wants of us, as far as the delivery itself tells. */
export interface Trigger {
  /** Names it for ever; the same comment never makes two tasks. */
  readonly key: string;
  /** Other names under which it may be known already. */
  readonly aliases: readonly string[];
  readonly repository: Repository;
  /** The issue or pull request, or null for a branch that has none. */
  readonly number: number | null;
  readonly isPull: boolean;
  /** Of the pull request, where the delivery has it. */
  readonly pull: PullRequest | null;
  readonly title: string;
  readonly request: string;
  readonly wants: Deliverable;
  readonly by: string;
  readonly trust: Trust;
  readonly needsApproval: boolean;
  readonly labels: readonly string[];
  /** What gets the reaction: the path under the repository. */
  readonly reactTo: string | null;
  /** Where to begin when it is not the pull request's head. */
  readonly ref: string | null;
  readonly commit: string | null;
}

export type Verdict =
  | { readonly kind: 'trigger'; readonly trigger: Trigger }
  | { readonly kind: 'ignored'; readonly code: string; readonly message: string };

interface Person {
  readonly login: string;
  readonly type?: string | undefined;
}

/** Begins every comment of ours, so that we know our own words whoever's token wrote them. */
export const ownMark = '<!-- nightshift:';

/** Branches that we make. */
export const ownBranches = 'nightshift/';

/** Whether a delivery asks for work, and who asks. Pure. */
export function verdictOn<K extends EventKind>(kind: K, payload: Payload<K>, policy: GitHubPolicy): Verdict {
  const { repository } = payload;
  const wanted = policy.repositories;
  if (wanted && !wanted.some((name) => same(name, repository.full_name))) {
    return ignored('other-repository', `${repository.full_name} is not one of the configured repositories.`);
  }
  const judge = judges[kind] as (payload: Payload<K>, policy: GitHubPolicy) => Verdict;
  return judge(payload, policy);
}

const judges: { readonly [K in EventKind]: (payload: Payload<K>, policy: GitHubPolicy) => Verdict } = {
  issue_comment({ action, comment, issue, repository, changes, sender }, policy) {
    if (action !== 'created' && action !== 'edited') return notOurs(action);
    return spoken(policy, {
      sender,
      author: comment.user,
      association: comment.author_association,
      body: comment.body,
      before: action === 'edited' ? (changes?.body?.from ?? comment.body) : undefined,
      trigger: {
        key: `${repository.full_name}/comment/${comment.id}`,
        repository,
        number: issue.number,
        isPull: isSet(issue.pull_request),
        pull: null,
        title: issue.title,
        labels: issue.labels.map(({ name }) => name),
        reactTo: `issues/comments/${comment.id}`,
        ref: null,
        commit: null,
      },
    });
  },

  pull_request_review_comment({ action, comment, pull_request: pull, repository, changes, sender }, policy) {
    if (action !== 'created' && action !== 'edited') return notOurs(action);
    const verdict = spoken(policy, {
      sender,
      author: comment.user,
      association: comment.author_association,
      body: comment.body,
      before: action === 'edited' ? (changes?.body?.from ?? comment.body) : undefined,
      trigger: {
        key: `${repository.full_name}/review-comment/${comment.id}`,
        ...aboutPull(repository, pull),
        reactTo: `pulls/comments/${comment.id}`,
      },
    });
    if (verdict.kind !== 'trigger' || comment.path === '') return verdict;
    const where = `\n\nThe comment stands at ${comment.path}:\n${comment.diff_hunk.slice(-4_000)}`;
    return { ...verdict, trigger: { ...verdict.trigger, request: verdict.trigger.request + where } };
  },

  issues({ action, issue, repository, changes, sender, assignee, label }, policy) {
    const trigger = {
      repository,
      number: issue.number,
      isPull: false,
      pull: null,
      title: issue.title,
      labels: issue.labels.map(({ name }) => name),
      reactTo: `issues/${issue.number}`,
      ref: null,
      commit: null,
    };
    const thread = `${repository.full_name}/issue/${issue.number}`;
    if (action === 'opened' || action === 'edited') {
      return spoken(policy, {
        sender,
        author: issue.user,
        association: issue.author_association,
        body: issue.body,
        before: action === 'edited' ? (changes?.body?.from ?? issue.body) : undefined,
        trigger: { ...trigger, key: `${thread}/opened` },
      });
    }
    const assigned = action === 'assigned' && isBot(assignee, policy);
    const labelled = action === 'labeled' && label !== null && label !== undefined && same(label.name, policy.label);
    if (!assigned && !labelled) return notOurs(action);
    return given(policy, {
      sender,
      content: { author: issue.user, association: issue.author_association },
      request: `Resolve this issue: ${issue.title}\n\n${issue.body}`,
      what: `${thread}/${action}`,
      when: issue.updated_at,
      trigger,
    });
  },

  pull_request({ action, pull_request: pull, repository, changes, sender, requested_reviewer: reviewer, label }, policy) {
    const thread = `${repository.full_name}/pull/${pull.number}`;
    const about = { ...aboutPull(repository, pull), reactTo: `issues/${pull.number}` };
    if (action === 'opened' || action === 'edited') {
      return spoken(policy, {
        sender,
        author: pull.user,
        association: pull.author_association,
        body: pull.body,
        before: action === 'edited' ? (changes?.body?.from ?? pull.body) : undefined,
        trigger: { ...about, key: `${thread}/opened` },
      });
    }
    const asked = action === 'review_requested' && isBot(reviewer, policy);
    const labelled = action === 'labeled' && label !== null && label !== undefined && same(label.name, policy.label);
    if (!asked && !labelled) return notOurs(action);
    return given(policy, {
      sender,
      content: { author: pull.user, association: pull.author_association },
      request: `${asked ? 'Review' : 'Finish'} this pull request: ${pull.title}\n\n${pull.body}`,
      wants: asked ? 'review' : 'changes',
      what: `${thread}/${action}`,
      when: pull.updated_at,
      trigger: about,
    });
  },

  pull_request_review({ action, review, pull_request: pull, repository, sender }, policy) {
    if (action !== 'submitted') return notOurs(action);
    const onOurs = pull.head.ref.startsWith(ownBranches) && same(pull.head.repo?.full_name ?? '', repository.full_name);
    if (onOurs && same(review.state, 'approved')) return ignored('approved', 'The review approves; there is nothing to do.');
    return spoken(policy, {
      sender,
      author: review.user,
      association: review.author_association,
      body: review.body,
      before: undefined,
      anyway: onOurs && same(review.state, 'changes_requested'),
      trigger: { key: `${repository.full_name}/review/${review.id}`, ...aboutPull(repository, pull), reactTo: null },
    });
  },

  workflow_run({ action, workflow_run: run, repository }, policy) {
    if (action !== 'completed' || run.conclusion !== 'failure') return notOurs(`${action} ${run.conclusion ?? ''}`.trim());
    const branch = run.head_branch ?? '';
    if (!same(run.head_repository?.full_name ?? '', repository.full_name)) {
      return ignored('foreign-branch', 'The workflow ran for a fork, whose branches are not ours to mend.');
    }
    if (!branch.startsWith(ownBranches) && !policy.branches.includes(branch)) {
      return ignored('other-branch', 'The branch is neither one of ours nor a configured one.');
    }
    return {
      kind: 'trigger',
      trigger: {
        // Once for each commit, however many jobs of it fail.
        key: `${repository.full_name}/workflow/${branch}/${run.head_sha}`,
        aliases: [],
        repository,
        number: run.pull_requests[0]?.number ?? null,
        isPull: run.pull_requests.length > 0,
        pull: null,
        title: `Workflow ${run.name} fails on ${branch}`,
        request: `The workflow ${run.name} fails on the branch ${branch}, commit ${run.head_sha}. Find out why and mend it.\nIts log: ${run.html_url}`,
        wants: 'changes',
        by: 'github',
        trust: 'known',
        needsApproval: false,
        labels: [],
        reactTo: null,
        ref: branch,
        commit: run.head_sha,
      },
    };
  },
};

type Seed = Omit<Trigger, 'aliases' | 'request' | 'wants' | 'by' | 'trust' | 'needsApproval'>;

/** Somebody wrote something: it counts if it speaks to us, and did not do so before it was edited. */
function spoken(
  policy: GitHubPolicy,
  said: {
    readonly sender: Person | null | undefined;
    readonly author: Person | null | undefined;
    readonly association: string;
    readonly body: string;
    readonly before: string | undefined;
    readonly anyway?: boolean;
    readonly trigger: Seed;
  },
): Verdict {
  const { author, sender, body, before, trigger } = said;
  if (body.trimStart().startsWith(ownMark)) return ignored('own-words', 'We wrote it ourselves.');
  if (isMachine(author, policy) || isMachine(sender, policy)) return ignored('bot', 'Bots set nothing going.');
  if (!author) return ignored('nobody', 'Its author has no account any more.');
  if (!said.anyway && !mentions(body, policy.botName)) return ignored('no-mention', `It does not speak to @${policy.botName}.`);
  if (before !== undefined && mentions(before, policy.botName)) return ignored('mentioned-before', 'It spoke to us before it was edited.');
  const trusted = mayAsk(author.login, said.association, policy);
  if (!trusted && policy.others === 'ignore') return ignored('not-allowed', `${author.login} may not set Nightshift to work here.`);
  const request = withoutAddress(body, policy.botName);
  return {
    kind: 'trigger',
    trigger: {
      ...trigger,
      aliases: [],
      request,
      wants: trigger.isPull && asksForReview(request) ? 'review' : 'changes',
      by: author.login,
      trust: trusted ? 'known' : 'untrusted',
      needsApproval: !trusted,
    },
  };
}

/**
 * Somebody gave us a label, an assignment or a review, which only people with rights in the repository can; what it says may
 * be a stranger's. But templates and code owners give them in the name of whoever opened the thing, so that proves nothing.
 */
function given(
  policy: GitHubPolicy,
  thing: {
    readonly sender: Person | null | undefined;
    readonly content: { readonly author: Person | null | undefined; readonly association: string };
    readonly request: string;
    readonly wants?: Deliverable;
    readonly what: string;
    readonly when: string;
    readonly trigger: Omit<Seed, 'key'>;
  },
): Verdict {
  const { sender, content, request, wants = 'changes', what, when, trigger } = thing;
  if (!sender || isMachine(sender, policy)) return ignored('bot', 'Bots set nothing going.');
  const trusted = mayAsk(content.author?.login ?? '', content.association, policy);
  const ownDoing = same(sender.login, content.author?.login ?? '') && !trusted;
  if (ownDoing && policy.others === 'ignore') return ignored('not-allowed', `${sender.login} may not set Nightshift to work here.`);
  return {
    kind: 'trigger',
    trigger: {
      ...trigger,
      key: `${what}/${when}`,
      aliases: momentsAround(when).map((moment) => `${what}/${moment}`),
      request,
      wants,
      by: sender.login,
      trust: trusted ? 'known' : 'untrusted',
      needsApproval: ownDoing,
    },
  };
}

/** A label has no id in its delivery, but the time of its issue, which may be a moment beside the one that GitHub lists it with. */
const sameMomentSeconds = 30;

function momentsAround(when: string): readonly string[] {
  const middle = Date.parse(when);
  if (Number.isNaN(middle)) return [];
  return Array.from({ length: 2 * sameMomentSeconds + 1 }, (_, index) =>
    new Date(middle + (index - sameMomentSeconds) * 1_000).toISOString().replace(/\.\d+Z$/, 'Z'),
  );
}

/** Its first words ask for a review; to see to the one that somebody gave is something else. */
const asksForReview = (request: string): boolean =>
  /^(?:(?:please|pls|hi|hey|can you|could you|would you|will you)[\s,]+)*(?:do |give |make )?(?:me |us )?(?:a |another |your )?(?:(?:quick|short|thorough|full|careful|code)\s+)*(?:re-?)?review(?![\w-]|\s*(?:comments?|feedback|remarks?)\b)/i.test(
    request,
  );

const aboutPull = (repository: Repository, pull: PullRequest): Omit<Seed, 'key' | 'reactTo'> => ({
  repository,
  number: pull.number,
  isPull: true,
  pull,
  title: pull.title,
  labels: pull.labels.map(({ name }) => name),
  ref: null,
  commit: null,
});

export const isFromFork = (pull: PullRequest | null): boolean =>
  pull !== null && !same(pull.head.repo?.full_name ?? '', pull.base.repo?.full_name ?? '-');

const mayAsk = (login: string, association: string, { associations, allow }: GitHubPolicy): boolean =>
  associations.includes(association) || allow.some((allowed) => same(allowed, login));

const isMachine = (person: Person | null | undefined, policy: GitHubPolicy): boolean =>
  person !== null && person !== undefined && (person.type === 'Bot' || person.login.endsWith('[bot]') || isBot(person, policy));

const isBot = (person: Person | null | undefined, { botName }: GitHubPolicy): boolean =>
  same(person?.login ?? '', botName) || same(person?.login ?? '', `${botName}[bot]`);

const isSet = (value: unknown): boolean => value !== undefined && value !== null;

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

const notOurs = (action: string): Verdict => ignored('not-ours', `${action || 'It'} is nothing that we act on.`);

const ignored = (code: string, message: string): Verdict => ({ kind: 'ignored', code, message });
