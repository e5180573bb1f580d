import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../support/bench.ts';
import { type ModelEndpoint, settingsFor, startModel } from '../support/model.ts';
import { rowOf } from '../support/report.ts';
import { makeSmallRepository } from '../support/repositories.ts';
import { startServerChild, waitFor } from '../support/server.ts';
import type { Suite } from './suite.ts';

const slowly = `echo > begun; node -e 'setTimeout(() => {}, 600000)'`;
const script = {
  name: 'bench',
  turns: [
    { when: { first: true }, say: 'I begin.', call: { tool: 'Bash', input: { command: slowly, description: 'Work', timeout: 600_000 } } },
    { say: 'There is nothing left to do.' },
  ],
};

export const resume: Suite = {
  names: ['resume'],
  async run(bench) {
    const { sizes, scope } = bench;
    const model = await startModel(scope, script);
    const health: number[] = [];
    const called: number[] = [];
    for (let round = 0; round < sizes.resumes; round++) {
      bench.progress(`resume after SIGKILL, round ${round + 1} of ${sizes.resumes}`);
      const measured = await killAndResume(bench, model);
      health.push(measured.healthyMs);
      called.push(measured.calledMs);
    }
    return [
      {
        title: 'Resume after SIGKILL of the server with a tool under way: from the new process on',
        rows: [rowOf('spawn → /health', health), rowOf('spawn → first model request of the same session', called)],
      },
    ];
  },
};

async function killAndResume(bench: Bench, model: ModelEndpoint): Promise<{ readonly healthyMs: number; readonly calledMs: number }> {
  const place = await bench.place('sqlite');
  const repository = makeSmallRepository(bench.scope);
  const settings = settingsFor(model);
  const first = await startServerChild(bench.scope, place, settings);
  const { id } = await first.api<{ id: string }>('POST', '/api/tasks', { title: 'Work for long', repository, engine: 'claude' });
  const workspaces = join(place.home, 'workspaces');
  await waitFor(
    async () => existsSync(workspaces) && readdirSync(workspaces).some((name) => existsSync(join(workspaces, name, 'tree/begun'))),
    (begun) => begun,
  );
  const { session } = await sessionOf(first, id, 0);
  // The program writes its session down a moment after it acts.
  const sessions = join(place.home, 'sessions', id, 'projects');
  await waitFor(
    async () => filesBelow(sessions).some((file) => file.endsWith(`${session}.jsonl`) && readFileSync(file, 'utf8').includes('tool_use')),
    (written) => written,
  );
  await first.kill();

  const call = model.nextCall();
  const began = performance.now();
  const second = await startServerChild(bench.scope, place, settings);
  const calledMs = (await call) - began;
  await second.settled(id);
  const after = await sessionOf(second, id, 1);
  if (session === null || after.session !== session) throw new Error('it was not the same session that went on');
  await second.stop();
  return { healthyMs: second.healthyMs, calledMs };
}

const filesBelow = (directory: string): readonly string[] =>
  existsSync(directory) ? readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => join(directory, name)) : [];

async function sessionOf(
  server: Awaited<ReturnType<typeof startServerChild>>,
  taskId: string,
  index: number,
): Promise<{ readonly session: string | null }> {
  const { runs } = await server.api<{ runs: readonly { readonly id: string }[] }>('GET', `/api/tasks/${taskId}`);
  const { sessionId } = await server.api<{ sessionId: string | null }>('GET', `/api/runs/${runs[index]?.id}`);
  return { session: sessionId };
}
