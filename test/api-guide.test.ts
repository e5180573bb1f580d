import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer, testToken } from './support/server.ts';
import { createDatabase, type TestDatabase } from './support/stores.ts';

/** The document as a reader works through it: each example, and the answer that is shown below it. */
interface Step {
  readonly heading: string;
  readonly command: string;
  readonly kind: string;
  readonly answer: string;
}

const guide = readFileSync(fileURLToPath(new URL('../docs/api.md', import.meta.url)), 'utf8');
const steps = [...guide.matchAll(/```sh\n(curl[^`]*|BODY=[^`]*)```\n\n```(http|text)\n([^`]*)```/g)].map(
  ({ index, 1: command = '', 2: kind = '', 3: answer = '' }): Step => ({
    heading: /^## (.*)$/m.exec(guide.slice(0, index).split('\n').toReversed().join('\n'))?.[1] ?? '',
    ...{ command, kind, answer },
  }),
);

describe('docs/api.md', () => {
  let database: TestDatabase;
  let server: TestServer;
  /** What the text calls `$TASK` and the like: those of the last answer that had one. */
  const known: Record<string, string> = {};

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    const [, settings = ''] = /```yaml\n([^`]*)```/.exec(guide) ?? [];
    writeFileSync(join(database.home, 'nightshift.yaml'), settings);
    server = await startTestServer(database);
  });

  afterAll(async () => {
    await server?.running.stop();
    await database?.remove();
  });

  test('has an example for each of the main paths, and each example an answer', () => {
    expect(steps.length).toBeGreaterThan(17);
    expect(guide.match(/```sh\n/g)).toHaveLength(steps.length + 1); // where the address and the key come from
  });

  test.each(
    steps.map(
      (step, at) => [`${at + 1}. ${step.heading}: ${step.command.split('\n').findLast((line) => line.startsWith('curl'))}`, step] as const,
    ),
  )('%s', async (_, { command, kind, answer }) => {
    if (known['TASK'] !== undefined && command.includes('/api/tasks/$TASK"')) await server.api.becomes(known['TASK'], 'succeeded');
    const ends = command.includes(' -N ') ? /event: run\.finished/ : undefined;
    const { status, headers, body } = await followed(command, { NIGHTSHIFT: server.api.address, KEY: testToken, ...known }, ends);
    remember(body);
    if (kind === 'text') {
      expect(status).toBe(200);
      let rest = body;
      for (const line of answer.trim().split('\n')) {
        expect(rest.split('\n')).toContain(line);
        rest = rest.slice(rest.indexOf(line) + line.length);
      }
      return;
    }
    const [head = '', shown = ''] = answer.split('\n\n');
    const [first = '', ...fields] = head.split('\n');
    expect(status, body).toBe(Number(first.split(' ')[1]));
    for (const [, name = '', value = ''] of fields.map((field) => /^([\w-]+): (.*)$/.exec(field) ?? [])) {
      expect(headers[name], name).toMatch(patternOf(value));
    }
    expect(JSON.parse(body)).toEqual(likeness(JSON.parse(shown)));
  });

  function remember(body: string): void {
    const [, task] = /"id":"(tsk_\w+)"/.exec(body) ?? [];
    const [, run] = /"id":"(run_\w+)"/.exec(body) ?? [];
    const [, event] = /^id: (\S+)$/m.exec(body) ?? [];
    if (task !== undefined && body.startsWith('{"id":"tsk_')) known['TASK'] = task;
    if (run !== undefined) known['RUN'] = run;
    if (event !== undefined) known['FIRST_EVENT'] ??= event;
  }
});

const patternOf = (shown: string): RegExp =>
  new RegExp(
    `^${shown
      .split('…')
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.+')}$`,
    's',
  );

/** What is shown is there, whatever there is besides. */
function likeness(shown: unknown): unknown {
  if (typeof shown === 'string') return expect.stringMatching(patternOf(shown));
  if (Array.isArray(shown)) return shown.every((each) => typeof each === 'object') ? expect.arrayContaining(shown.map(likeness)) : shown;
  if (typeof shown !== 'object' || shown === null) return shown;
  return expect.objectContaining(Object.fromEntries(Object.entries(shown).map(([key, value]) => [key, likeness(value)])));
}

interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Runs it as it stands, in a shell whose curl says the status and the headers besides. A stream is left when it has shown what it should. */
async function followed(command: string, env: Readonly<Record<string, string>>, ends: RegExp | undefined): Promise<Answered> {
  const child = spawn('bash', ['-c', `curl() { command curl -sS -i "$@"; }\n${command.trim().replace(/\n*$/, '')}`], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (ends?.test(said)) process.kill(-(child.pid as number), 'SIGTERM');
  }
  const [head = '', ...rest] = said.split('\r\n\r\n');
  const [first = '', ...fields] = head.split('\r\n');
  return {
    status: Number(first.split(' ')[1]),
    headers: Object.fromEntries(fields.map((field) => [field.split(':')[0]?.toLowerCase() ?? '', field.slice(field.indexOf(':') + 2)])),
    body: rest.join('\r\n\r\n'),
  };
}
