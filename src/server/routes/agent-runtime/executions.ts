import { isId } from '../../../domain/id.ts';
import { noResult } from '../../../domain/result.ts';
import type { Run } from '../../../domain/run.ts';
import { type Clock, wait } from '../../../platform/clock.ts';
import { type Executed, listExecuted } from '../../../store/executions.ts';
import { findProfile, findProfiles } from '../../../store/profiles.ts';
import { figuresOf, findResults } from '../../../store/results.ts';
import { findRun, runsOfTasks } from '../../../store/runs.ts';
import type { Store } from '../../../store/store.ts';
import { workspacesOfRuns } from '../../../store/workspaces.ts';
import { notFound } from './dialect.ts';
import { attemptView, type ExecutionView, executionView } from './words.ts';

/** Tasks and runs, as the executions that they are in the eyes of that runtime's clients. */
export interface Executions {
  /** By the id that `execute` gave, which is the task's, or by that of one of its runs; refused when there is none. */
  require(id: string): Promise<{ readonly taskId: string; readonly view: ExecutionView }>;
  views(tasks: readonly Executed[]): Promise<ExecutionView[]>;
  /** Resolves when nothing of the task runs, or when that was waited for long enough. */
  settled(taskId: string, gone: AbortSignal): Promise<void>;
}

/** So long a cancel waits for what it stops. */
export const settlingMs = 3_000;
const lookAgainMs = 25;

export function openExecutions(store: Store, clock: Clock): Executions {
  const find = async (taskId: string): Promise<Executed | undefined> =>
    isId('task', taskId) ? (await listExecuted(store.read, { ids: [taskId] }, { offset: 0, limit: 1 })).items[0] : undefined;

  async function views(tasks: readonly Executed[]): Promise<ExecutionView[]> {
    const ids = tasks.map(({ id }) => id);
    const runs = await runsOfTasks(store.read, ids);
    const newest = [...runs.values()].flatMap((each) => each.at(-1)?.id ?? []);
    const [profiles, figures, results, workspaces] = await Promise.all([
      findProfiles(
        store.read,
        tasks.map(({ profile }) => profile),
      ),
      figuresOf(store.read, ids),
      findResults(store.read, newest),
      workspacesOfRuns(store.read, newest),
    ]);
    return tasks.map((task) => {
      const own = runs.get(task.id) ?? [];
      const last = own.at(-1)?.id ?? '';
      return executionView({
        task,
        profile: profiles.get(task.profile),
        runs: own,
        workspaceId: workspaces.get(last),
        result: results.get(last),
        figures: figures.get(task.id) ?? noResult,
      });
    });
  }

  async function attempt(task: Executed, run: Run): Promise<ExecutionView> {
    const [profile, results, workspaces] = await Promise.all([
      findProfile(store.read, task.profile),
      findResults(store.read, [run.id]),
      workspacesOfRuns(store.read, [run.id]),
    ]);
    const result = results.get(run.id);
    return attemptView(run, { task, profile, workspaceId: workspaces.get(run.id), result, figures: result ?? noResult });
  }

  return {
    views,
    async require(id) {
      const run = isId('run', id) ? await findRun(store.read, id) : undefined;
      const task = await find(run?.taskId ?? id);
      if (!task) throw notFound('execution', 'Execution', id);
      return { taskId: task.id, view: run ? await attempt(task, run) : ((await views([task]))[0] as ExecutionView) };
    },
    async settled(taskId, gone) {
      const until = clock.monotonic() + settlingMs;
      while (!gone.aborted && clock.monotonic() < until) {
        if ((await find(taskId))?.status !== 'running') return;
        await wait(clock, lookAgainMs, gone);
      }
    },
  };
}
