import { noteLimits, trustIn } from '../../domain/note.ts';
import type { RunResult } from '../../domain/result.ts';
import type { Run } from '../../domain/run.ts';
import { withoutSecrets } from '../../domain/secret-forms.ts';
import { demoSource, dependencyFailed, type Task, type TaskStatus } from '../../domain/task.ts';
import { lastWords } from '../../store/journal.ts';
import { findResults } from '../../store/results.ts';
import { roundsOfRun } from '../../store/rounds.ts';
import { runsOfTasks } from '../../store/runs.ts';
import type { Tx } from '../../store/store.ts';
import type { Memory } from './memory.ts';

export interface FailureParts {
  readonly memory: Pick<Memory, 'remember'>;
  /** Of a repository as a task names it; undefined for what is none. */
  readonly addressOf: (repository: string) => string | undefined;
}

/** Failures of machines, providers and settings: they say nothing about the work. */
const notTheWork =
  /^(?:model-|engine-|session-|sandbox-|hook-|bad-|no-(?:model|engine|such-)|(?:auth-failed|rate-limited|overloaded|internal|network|disk-full|holder-lost|killed)$)/;

/**
 * A run that ends badly leaves a note: what was tried, and why it did not do. Called with each change of status, in the
 * transaction of that change: so there is one note for each such end, and none for an end that was not.
 */
export function noteFailures({ memory, addressOf }: FailureParts): (tx: Tx, tasks: readonly Task[]) => Promise<void> {
  return async (tx, tasks) => {
    const bad = tasks.filter(
      ({ status, reason, source }) =>
        reason !== null && reason.code !== dependencyFailed && afterFailure.includes(status) && source !== demoSource,
    );
    if (bad.length === 0) return;
    const runs = await runsOfTasks(
      tx.db,
      bad.map(({ id }) => id),
    );
    const ended = bad.flatMap((task) => {
      const run = runs.get(task.id)?.at(-1);
      return run && endedBadly(run, task) ? [{ task, run }] : [];
    });
    const results = await findResults(
      tx.db,
      ended.map(({ run }) => run.id),
    );
    for (const { task, run } of ended) {
      const result = results.get(run.id);
      // One that came to nothing before it began has tried nothing.
      if (!result || (result.toolCalls === 0 && result.filesChanged.length === 0 && result.tests === null)) continue;
      await memory.remember(tx, {
        kind: 'failure',
        repository: task.repository === null ? null : (addressOf(task.repository) ?? null),
        title: cut(`Failed: ${task.title}`, noteLimits.title),
        text: await story(tx, run, result),
        origin: { kind: 'run', taskId: task.id, runId: run.id },
        trust: trustIn(task),
        tags: [run.reason?.code ?? run.status],
        importance: 6,
      });
    }
  };
}

/** What a task can come to by a run that failed: one that is tried another way goes back in line at once. */
const afterFailure: readonly TaskStatus[] = ['failed', 'delayed', 'escalated', 'queued'];

/** The task came to this status by the end of this very run. */
const endedBadly = (run: Run, task: Task): boolean =>
  (run.status === 'failed' || run.status === 'escalated') && run.finishedAt === task.updatedAt && !notTheWork.test(run.reason?.code ?? '');

async function story(tx: Tx, run: Run, { filesChanged, tests }: RunResult): Promise<string> {
  const red = (await roundsOfRun(tx.db, run.id)).at(-1)?.verdicts.filter(({ passed }) => !passed) ?? [];
  const said = await lastWords(tx.db, run.id);
  const files = filesChanged.slice(0, mostFiles).map(({ path }) => path);
  const more = filesChanged.length - files.length;
  return [
    cut(`Why: ${run.reason?.message ?? run.status}`, 1_500),
    ...red.slice(0, 10).map(({ gate, summary }) => cut(`Red: ${gate}: ${summary}`, 300)),
    ...(tests && !tests.passed && red.length === 0 ? [cut(`Red: ${tests.command.join(' ')}`, 300)] : []),
    ...(files.length > 0 ? [`Tried by changing: ${cut(files.join(', '), 2_000)}${more > 0 ? ` and ${more} more` : ''}`] : []),
    ...(said === undefined ? [] : [`The agent's last words: ${cut(said, 800)}`]),
  ].join('\n');
}

const mostFiles = 20;

/** Half a secret is not known for one any more, so they are blanked first. */
function cut(text: string, limit: number): string {
  const blanked = withoutSecrets(text);
  return blanked.length <= limit ? blanked : `${blanked.slice(0, limit - 1).toWellFormed()}…`;
}
