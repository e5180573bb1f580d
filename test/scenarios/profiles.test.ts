import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventStream } from '../support/event-stream.ts';
import { git, write } from '../support/git-world.ts';
import { type ModelUpstream, says, startUpstream } from '../support/model-upstream.ts';
import { type Api, type ApiEvent, type ApiRun, startTestServer, type TestServer } from '../support/server.ts';
import { processesWith, until } from '../support/server-process.ts';
import { createDatabase, type TestDatabase, temporaryHome } from '../support/stores.ts';

interface Asked {
  readonly model: string;
  readonly system: unknown;
  readonly messages: unknown;
  readonly tools: readonly { readonly name: string }[];
}

async function runOf(api: Api, taskId: string): Promise<ApiRun> {
  return api.run((await api.task(taskId)).runs.at(-1)?.id ?? '');
}

/** Claude's own API in another process's place, so that what the agent asks of it can be read. */
describe('what a profile says reaches the model', () => {
  let database: TestDatabase;
  let upstream: ModelUpstream;
  let server: TestServer;
  let api: Api;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    upstream = await startUpstream(says('Done.'));
    server = await startTestServer(database, {
      engine: 'claude',
      llmProvider: 'claude',
      llmApiKey: 'sk-of-the-operator',
      llmBaseUrl: upstream.url,
      llmModel: 'the-servers-model',
    });
    ({ api } = server);
  });
  afterAll(async () => {
    await server?.running.stop();
    await upstream?.close();
    await database?.remove();
  });

  /** The conversation itself: not what the agent asks on the side. */
  const asked = (): Asked =>
    upstream.seen
      .map(({ body }) => JSON.parse(body || '{}') as Asked)
      .filter(({ tools }) => tools !== undefined)
      .at(-1) as Asked;
  const succeed = async (task: object): Promise<Asked> => {
    const { id } = await api.submit({ title: 'Mend {{body}}', body: 'with "care"', ...task });
    await api.becomes(id, 'succeeded');
    return asked();
  };

  test('its prompt, filled in once, its instructions, its tools and its model', async () => {
    await api.call('POST', '/api/profiles', {
      body: {
        name: 'reader',
        promptTemplate: 'Read for {{title}}; {{body}}; at {{branch}}.',
        instructions: 'Speak like a pirate.',
        tools: ['Read', 'Grep'],
        model: 'the-profiles-model',
      },
    });
    const request = await succeed({ profile: 'reader' });
    expect(JSON.stringify(request.messages)).toContain(JSON.stringify('Read for Mend {{body}}; with "care"; at .').slice(1, -1));
    expect(JSON.stringify(request.system)).toContain('Speak like a pirate.');
    // The engine always adds one that stands for those it would load later, and that cannot be called.
    expect(request.tools.map(({ name }) => name).filter((name) => name !== 'DeferredToolPlaceholder')).toEqual(['Grep', 'Read']);
    expect(request.model).toBe('the-profiles-model');
  });

  test('and nothing of it where there is none: title and body, all tools, the model of the server', async () => {
    const request = await succeed({});
    expect(JSON.stringify(request.messages)).toContain('Mend {{body}}\\n\\nwith \\"care\\"');
    expect(request.tools.length).toBeGreaterThan(5);
    expect(request.model).toBe('the-servers-model');
    expect(JSON.stringify(request.system)).not.toContain('pirate');
  });

  test("but a task's own tier goes before the model of its profile", async () => {
    expect((await succeed({ profile: 'reader', tier: 'standard' })).model).toBe('the-servers-model');
  });

  test('and the default profile speaks for tasks that name none', async () => {
    await api.call('PUT', '/api/profiles/default', { body: { instructions: 'Speak like a judge.' } });
    expect(JSON.stringify((await succeed({})).system)).toContain('Speak like a judge.');
    await api.call('PUT', '/api/profiles/default', { body: {} });
  });
});

describe('a run', () => {
  let database: TestDatabase;
  let server: TestServer;
  let api: Api;
  let repository: string;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    const rehearsal = join(database.home, 'script.json');
    const bash = (command: string) => ({ tool: 'Bash', input: { command, description: 'Work', timeout: 600_000 } });
    writeFileSync(
      rehearsal,
      JSON.stringify({
        name: 'profiles',
        turns: [
          { when: { first: true, prompt: 'Go to sleep on nightshift/' }, call: bash('echo begun > begun.txt; sleep 600') },
          {
            when: { first: true, prompt: 'write it' },
            call: { tool: 'Write', input: { file_path: '{{cwd}}/result.txt', content: 'x\n' } },
          },
          { when: { prompt: 'count' }, call: bash('echo again') },
          { say: 'That is all.' },
        ],
      }),
    );
    server = await startTestServer(database, { engine: 'claude', llmProvider: 'rehearsal', rehearsalScript: rehearsal });
    ({ api } = server);
    repository = temporaryHome();
    git(repository, 'init', '--quiet', '--initial-branch=main');
    write(repository, { 'README.md': '# Sample\n' });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
  });
  afterAll(async () => {
    await server?.running.stop();
    await database?.remove();
    rmSync(repository, { recursive: true, force: true });
  });

  const eventsOf = async (runId: string): Promise<readonly ApiEvent[]> => {
    const stream = await EventStream.open(api, `/api/runs/${runId}/events`);
    await stream.over;
    return stream.events;
  };

  test('ends when its agent has had the turns of its profile', async () => {
    await api.call('POST', '/api/profiles', { body: { name: 'brief', limits: { maxTurns: 3 } } });
    const { id } = await api.submit({ title: 'count', body: undefined, profile: 'brief' });
    expect(await api.becomes(id, 'failed')).toMatchObject({ reason: { code: 'max-turns' } });
    const { toolCalls, id: runId } = await runOf(api, id);
    expect(toolCalls).toBe(3);
    expect((await eventsOf(runId)).filter(({ type }) => type === 'run.tool-finished').length).toBeGreaterThan(0);
  });

  test('gets no tool that its profile does not name', async () => {
    await api.call('POST', '/api/profiles', { body: { name: 'handless', tools: ['Read'], limits: { maxTurns: 2 } } });
    const { id } = await api.submit({ title: 'count', body: undefined, profile: 'handless' });
    expect((await api.becomes(id, 'escalated')).reason).toMatchObject({
      code: 'permission-denied',
      message: expect.stringContaining('No such tool available: Bash'),
    });
    const finished = (await eventsOf((await runOf(api, id)).id)).filter(({ type }) => type === 'run.tool-finished');
    expect(finished[0]?.data).toMatchObject({ tool: 'Bash', failed: true });
  });

  test('of a client of the other runtime has a workspace that stays while it works, and goes when it is told to', async () => {
    const { body: profile } = await api.call<{ id: string }>('POST', '/api/profiles', {
      body: { name: 'sleeper', promptTemplate: 'Go to sleep on {{branch}} of {{repository}}.' },
    });
    const { body } = await api.call<{ executionId: string }>('POST', '/api/agent-runtime/execute', {
      body: { workerId: profile.id, prompt: 'Sleep', repository },
    });
    const id = body.executionId;
    const [active] = await until('its workspace', async () => {
      const { body: all } = await api.call<{ id: string }[]>('GET', '/api/agent-runtime/workspaces');
      return all.length > 0 && all;
    });
    expect(active).toMatchObject({
      workerId: profile.id,
      workItemId: id,
      repositoryId: expect.stringContaining(repository),
      branchName: expect.stringContaining(id),
      status: 'active',
      completedAt: null,
    });
    const workspace = active?.id ?? '';
    const runId = (await api.task(id)).runs[0]?.id ?? '';
    await until('the agent to be at work', () => started(runId));
    expect((await api.call('GET', '/api/workspaces?status=active')).body).toMatchObject({
      items: [{ id: workspace, taskId: id, runId, nodeId: expect.any(String) }],
      nextCursor: null,
    });
    expect(await api.refusal('DELETE', `/api/agent-runtime/workspaces/${workspace}`)).toMatchObject({
      status: 409,
      statusCode: 409,
      error: expect.stringContaining('in use by an active execution'),
    });
    expect(await api.refusal('DELETE', `/api/workspaces/${workspace}`)).toMatchObject({ status: 409, code: 'workspace-busy' });

    const cancelled = await api.call('POST', `/api/agent-runtime/executions/${id}/cancel`);
    expect(cancelled.body).toMatchObject({
      status: 'cancelled',
      completedAt: expect.any(String),
      workspaceId: workspace,
      toolCallsCount: 1,
      output: { filesChanged: ['begun.txt'], diff: expect.stringContaining('+begun') },
    });
    expect((await api.call('GET', '/api/agent-runtime/workspaces')).body).toEqual([]);
    expect(await api.call('DELETE', `/api/agent-runtime/workspaces/${workspace}`)).toMatchObject({
      status: 200,
      body: { message: `Workspace ${workspace} deleted successfully` },
    });
    expect(await api.refusal('DELETE', `/api/workspaces/${workspace}`)).toMatchObject({ status: 404 });
    expect((await api.call('GET', '/api/workspaces?status=removed')).body).toMatchObject({ items: [{ id: workspace, status: 'removed' }] });
    expect((await api.call('GET', `/api/agent-runtime/executions/${id}`)).body).toMatchObject({ workspaceId: workspace });
  });

  test('of a work item ends with its files, tests and figures in the words of that runtime', async () => {
    const { body: item } = await api.call<{ id: string }>('POST', '/api/work-items', {
      body: { title: 'write it', type: 'feature', createdBy: 'ann', repository },
    });
    await api.call('POST', '/api/agent-runtime/execute', { body: { workerId: 'default', workItemId: item.id } });
    await api.becomes(item.id, 'succeeded');
    const { body } = await api.call<Record<string, unknown>>('GET', `/api/agent-runtime/executions/${item.id}`);
    expect(body).toMatchObject({
      status: 'success',
      toolCallsCount: 1,
      errorMessage: null,
      output: {
        summary: expect.stringMatching(/^That is all\.\n\nNo command has checked this/),
        filesChanged: ['result.txt'],
        diff: expect.stringContaining('+x'),
      },
    });
    expect(body['tokensUsed']).toBeGreaterThan(0);
    const pages: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`;
      const page: { body: { items: { id: string }[]; nextCursor: string | null } } = await api.call(
        'GET',
        `/api/workspaces?status=completed,removed&limit=1${query}`,
      );
      pages.push(...page.body.items.map(({ id }) => id));
      cursor = page.body.nextCursor;
    } while (cursor !== null);
    expect(pages).toEqual([...pages].sort().reverse());
    expect(new Set(pages).size).toBe(2);
  });

  const started = (runId: string): boolean => {
    return processesWith(`NIGHTSHIFT_RUN_ID=${runId}`).some((pid) => commandOf(pid).includes('sleep 600'));
  };
});

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
