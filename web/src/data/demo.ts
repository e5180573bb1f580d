import { type Answer, call } from './api.ts';
import { currentState, fetchTask, subscribe } from './live.ts';

/** As long as this a person looks at a button that only waits; then the task itself says what it waits for. */
const patienceMs = 4_000;

/** Has the server run its demo. The page to watch it on: its run, or its task while that has not begun. */
export async function runDemo(): Promise<Answer<string>> {
  const begun = await call<{ readonly taskId: string }>('POST', '/demo');
  if (!begun.ok) return begun;
  const { taskId } = begun.value;
  await fetchTask(taskId);
  return { ok: true, value: (await firstRun(taskId)) ?? `/tasks/${taskId}` };
}

function firstRun(taskId: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const done = (path?: string): void => {
      clearTimeout(timer);
      unsubscribe();
      resolve(path);
    };
    const look = (): void => {
      const run = currentState().tasks.get(taskId)?.runs.at(-1);
      if (run) done(`/runs/${run.id}`);
    };
    const timer = setTimeout(done, patienceMs);
    const unsubscribe = subscribe(look);
    look();
  });
}
