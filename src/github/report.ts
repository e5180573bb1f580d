import { neverGreen } from '../domain/gate.ts';
import type { OutgoingMessage } from '../domain/mail.ts';
import type { RunResult } from '../domain/result.ts';
import { type Review, type ReviewVerdict, reviewVerdicts } from '../domain/review.ts';
import type { Run } from '../domain/run.ts';
import type { Stage } from '../domain/stage.ts';
import { isClosed, type Task, type TaskStatus } from '../domain/task.ts';
import type { Reporter } from '../outbox/announce.ts';
import { findResult } from '../store/results.ts';
import { runsOfTasks } from '../store/runs.ts';
import type { Tx } from '../store/store.ts';
import type { GitHubMessage } from './channel.ts';
import { githubSource } from './door.ts';
import { code, label, plain, plainLine } from './markdown.ts';
import type { GitHubPolicy } from './settings.ts';
import type { Address } from './source.ts';

/** What becomes of a task, told where it was asked for: a reaction, one comment kept up to date, an answer at the end. */
export function githubReporter(policy: Pick<GitHubPolicy, 'reviews'>): Reporter {
  return {
    source: githubSource,

    async taken(_tx, task, origin) {
      const address = origin.address as Address;
      const { repository, reactTo } = address;
      return [
        ...(reactTo === null
          ? []
          : [message(task, address, 'reaction', `reaction/${origin.trigger}`, { type: 'reaction' as const, repository, to: reactTo })]),
        ...progress(task, address),
      ];
    },

    async changed(tx, task, origin) {
      const address = origin.address as Address;
      if (!isAnswer(task.status)) return progress(task, address);
      const [run, result] = await lastRun(tx, task.id);
      return [...progress(task, address, run, result), ...ending(task, address, run, result, policy)];
    },

    progressed: (task, origin, stage) => progress(task, origin.address as Address, undefined, undefined, stages[stage]),
  };
}

/** Edits count as writing, and GitHub wants little of that. How it ended does not wait. */
const editPauseMs = 5_000;

const stages: Readonly<Record<Stage, string>> = {
  working: 'Working on it',
  verifying: 'Checking what was done',
  delivering: 'Delivering it',
};

/** Nothing more happens by itself: whoever asked is to hear how it came out. */
const isAnswer = (status: TaskStatus): boolean => isClosed(status) || status === 'escalated' || status === 'over-budget';

async function lastRun(tx: Tx, taskId: string): Promise<readonly [Run | undefined, RunResult | undefined]> {
  const run = (await runsOfTasks(tx.db, [taskId])).get(taskId)?.at(-1);
  return [run, run && (await findResult(tx.db, run.id))];
}

/** The comment that is kept up to date, and the status of the commit it is about. */
function progress(task: Task, address: Address, run?: Run, result?: RunResult, head = heading(task, result)): readonly OutgoingMessage[] {
  const { repository, number, commit } = address;
  const text = [`**${head}**${numbers(task, run, result)}`, ...why(task), `<sub>${code(task.id)}</sub>`].join('\n\n');
  const description = `${head}: ${label(task.title, 100)}`;
  const pause = isAnswer(task.status) ? {} : { pauseMs: editPauseMs };
  return [
    ...(number === null
      ? []
      : [
          {
            ...message(task, address, 'status', `status/${task.id}/${repository}#${number}`, { type: 'comment', repository, number, text }),
            ...pause,
          },
        ]),
    ...(commit === null
      ? []
      : [
          message(task, address, 'commit-status', `commit-status/${task.id}/${commit}`, {
            type: 'commit-status',
            repository,
            commit,
            state: commitState(task.status, result),
            description,
          }),
        ]),
  ];
}

function ending(
  task: Task,
  address: Address,
  run: Run | undefined,
  result: RunResult | undefined,
  policy: Pick<GitHubPolicy, 'reviews'>,
): readonly OutgoingMessage[] {
  if (task.status === 'succeeded' && result?.review) return reviewed(task, address, run, { ...result, review: result.review }, policy);
  const { repository, number, base } = address;
  const pushed =
    result?.delivery && result.delivery.kind !== 'left-in-mirror' && task.status === 'succeeded' ? result.delivery.branch : null;
  const text = answer(task, run, result);
  return [
    ...(pushed === null || base === null || pushed === base
      ? []
      : [
          message(task, address, 'pull-request', `pull-request/${task.id}/${pushed}`, {
            type: 'pull-request',
            repository,
            branch: pushed,
            base,
            title: label(task.title, 200),
            text: [number === null ? [] : [`${address.isPull ? 'For' : 'Closes'} #${number}.`], text].flat().join('\n\n'),
          }),
        ]),
    ...(pushed === null || result?.commits[0] === undefined
      ? []
      : [
          message(task, address, 'commit-status', `commit-status/${task.id}/${result.commits[0]}`, {
            type: 'commit-status',
            repository,
            commit: result.commits[0],
            ...verdictOf(task, result),
          }),
        ]),
    ...(number === null
      ? []
      : [
          // A task that is retried ends again, and that is another answer.
          message(task, address, 'answer', `answer/${task.id}/${task.updatedAt}/${repository}#${number}`, {
            type: 'comment',
            repository,
            number,
            text,
            // Of what went into the pull request that this is about, the link would lead here.
            ...(pushed === null || pushed === base ? {} : { branch: pushed }),
          }),
        ]),
  ];
}

/** A review is its own answer. */
function reviewed(
  task: Task,
  address: Address,
  run: Run | undefined,
  { review, baseCommit, ...result }: RunResult & { readonly review: Review },
  policy: Pick<GitHubPolicy, 'reviews'>,
): readonly OutgoingMessage[] {
  const { repository, number, commit } = address;
  if (number === null) return [];
  // What a stranger wrote may have talked the reviewer round.
  const most = task.trust === 'untrusted' && policy.reviews === 'approve' ? 'request-changes' : policy.reviews;
  const allowed = verdictsUpTo[most].includes(review.verdict) ? review.verdict : 'comment';
  const text = [
    plain(review.summary, 20_000),
    `<sub>${verdictWords[review.verdict]}${numbers(task, run, { ...result, review, baseCommit })} · ${code(run?.id ?? task.id)}</sub>`,
  ].join('\n\n');
  return [
    message(task, address, 'review', `review/${task.id}/${task.updatedAt}/${repository}#${number}`, {
      type: 'review',
      repository,
      number,
      commit: baseCommit ?? commit,
      event: events[allowed],
      text,
      comments: review.comments,
    }),
  ];
}

const verdictsUpTo: Readonly<Record<ReviewVerdict, readonly ReviewVerdict[]>> = {
  comment: ['comment'],
  'request-changes': ['comment', 'request-changes'],
  approve: reviewVerdicts,
};

const events = { comment: 'COMMENT', 'request-changes': 'REQUEST_CHANGES', approve: 'APPROVE' } as const;

const verdictWords: Readonly<Record<ReviewVerdict, string>> = {
  comment: 'Reviewed',
  'request-changes': 'Reviewed: something should be changed',
  approve: 'Reviewed: nothing stands against it',
};

function answer(task: Task, run: Run | undefined, result: RunResult | undefined): string {
  return [
    `**${heading(task, result)}**${numbers(task, run, result)}`,
    ...why(task),
    ...(run?.summary ? [plain(run.summary, 8_000)] : []),
    ...changes(result),
    ...tests(result),
    ...branchOf(result),
    `<sub>More: ${code(`nightshift show ${run?.id ?? task.id}`)}</sub>`,
  ].join('\n\n');
}

const headings: Readonly<Record<TaskStatus, string>> = {
  queued: 'Queued',
  blocked: 'Waiting for other work',
  delayed: 'Waiting for another try',
  'awaiting-approval': "Waiting for the owner's approval",
  running: 'Working on it',
  succeeded: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
  'over-budget': 'Stopped: over its budget',
  escalated: 'A person has to look at this',
};

const heading = ({ status }: Task, result?: RunResult): string =>
  status === 'succeeded' && result?.notGreen.some(neverGreen) ? 'Done, but not green' : headings[status];

/** What a person who merges by the colour alone would go by: what was never green must not look like it. */
function verdictOf(task: Task, result: RunResult): { readonly state: 'success' | 'failure'; readonly description: string } {
  const red = result.notGreen.filter(neverGreen).map(({ gate }) => gate);
  return red.length === 0
    ? { state: 'success', description: `Done: ${label(task.title, 100)}` }
    : { state: 'failure', description: label(`Not green, nor was it before: ${red.join(', ')}`, 140) };
}

function numbers(task: Task, run?: Run, result?: RunResult): string {
  const seconds = run && run.finishedAt !== null ? Math.round((run.finishedAt - run.startedAt) / 1_000) : undefined;
  const parts = [
    ...(task.attempts > 1 ? [`attempt ${task.attempts} of ${task.maxAttempts}`] : []),
    ...(seconds === undefined ? [] : [`${seconds} s`]),
    ...(result && result.costUsd > 0 ? [`$${result.costUsd.toFixed(2)}`] : []),
  ];
  return parts.length === 0 ? '' : ` · ${parts.join(' · ')}`;
}

const why = ({ reason }: Task): readonly string[] => (reason === null ? [] : [plainLine(reason.message, 1_000)]);

function branchOf(result: RunResult | undefined): readonly string[] {
  const branch = result?.delivery?.branch ?? result?.branch;
  return branch ? [`Branch: ${code(branch)}`] : [];
}

const shownFiles = 20;

function changes(result: RunResult | undefined): readonly string[] {
  if (!result || result.filesChanged.length === 0) return [];
  const files = result.filesChanged;
  const sum = (pick: 'additions' | 'deletions'): number => files.reduce((total, file) => total + (file[pick] ?? 0), 0);
  const lines = files.slice(0, shownFiles).map((file) => `- ${code(file.path)} +${file.additions ?? 0} −${file.deletions ?? 0}`);
  const more = files.length > shownFiles ? [`- and ${files.length - shownFiles} more`] : [];
  const count = `${files.length} file${files.length === 1 ? '' : 's'} changed, +${sum('additions')} −${sum('deletions')}`;
  return [[count, '', ...lines, ...more].join('\n')];
}

function tests(result: RunResult | undefined): readonly string[] {
  if (!result?.tests) return [];
  const { passed, command, counts } = result.tests;
  const counted = counts ? `: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped` : '';
  return [`Tests ${passed ? 'pass' : 'fail'} (${code(command.join(' '))})${counted}`];
}

function commitState(status: TaskStatus, result: RunResult | undefined): 'pending' | 'success' | 'failure' | 'error' {
  if (status === 'succeeded') return result?.notGreen.some(neverGreen) ? 'failure' : 'success';
  if (status === 'failed') return 'failure';
  return isAnswer(status) ? 'error' : 'pending';
}

/** Statuses of commits go beside the thread: one that GitHub does not take must not hold up the words. */
const message = (task: Task, { repository, number }: Address, kind: string, key: string, body: GitHubMessage): OutgoingMessage => ({
  channel: githubSource,
  recipient: body.type === 'commit-status' ? `${repository}@${body.commit}` : number === null ? repository : `${repository}#${number}`,
  kind,
  key,
  body,
  taskId: task.id,
});
