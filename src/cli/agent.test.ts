import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';
import { git } from '../../test/support/git-world.ts';
import { noResult } from '../domain/result.ts';
import { sampleRepository } from '../main.ts';
import type { Run, StreamedEvent, Task } from './api.ts';
import { outcomeFields, reviewLines } from './outcome.ts';
import { printPatch, styledPatch } from './patch.ts';
import type { Session } from './session.ts';
import { describe as tell } from './story.ts';
import { createScreen } from './terminal.ts';
import { ToolCalls } from './tools.ts';

const event = (type: string, data: StreamedEvent['data'], runId = 'run_1'): StreamedEvent => ({
  id: '1',
  at: '2026-05-01T08:00:00.000Z',
  type,
  taskId: 'tsk_1',
  runId,
  data,
});
const started = (call: string, tool: string, input: unknown, more = {}): StreamedEvent =>
  event('run.tool-started', { call, tool, input, ...more });
const finished = (call: string, tool: string, more = {}): StreamedEvent =>
  event('run.tool-finished', { call, tool, failed: false, output: '', outputSize: 0, durationMs: 200, ...more });

function told(...events: readonly StreamedEvent[]): readonly string[] {
  const calls = new ToolCalls();
  return events.flatMap((each) => calls.tell(each)).map(({ text }) => text);
}

const run = (result: Partial<Run>): Run => ({
  ...noResult,
  id: 'run_1',
  taskId: 'tsk_1',
  nodeId: 'nod_1',
  engine: 'claude',
  attempt: 1,
  status: 'succeeded',
  reason: null,
  summary: null,
  startedAt: '2026-05-01T08:00:00.000Z',
  finishedAt: null,
  durationMs: null,
  outputFile: '/x',
  artifacts: [],
  rounds: [],
  ...result,
});
const plain = (_: unknown, text: string): string => text;
const outcome = (result: Partial<Run>): Readonly<Record<string, string>> =>
  Object.fromEntries(outcomeFields(run(result), plain).flatMap(([name, value]) => (value ? [[name, value]] : [])));

describe('a tool call', () => {
  test('is one line: the tool, the telling part of its input, how long it took', () => {
    const path = '/srv/home/workspaces/wsp_01KEXAMPLE000000000000000/tree/src/a.js';
    expect(told(started('a', 'Read', { limit: 5, file_path: path }), finished('a', 'Read'))).toEqual(['Read src/a.js  0.2 s']);
    expect(told(started('a', 'Bash', { description: 'List', command: `ls\n  ${path}` }), finished('a', 'Bash'))).toEqual([
      'Bash ls   src/a.js  0.2 s',
    ]);
    expect(told(started('a', 'Odd', { flag: true, other: 'thing' }), finished('a', 'Odd'))).toEqual(['Odd thing  0.2 s']);
    expect(told(finished('a', 'Unseen'))).toEqual(['Unseen  0.2 s']);
  });

  test('is marked when it failed, with the reason, and when the run ended before it', () => {
    expect(
      told(started('a', 'Bash', { command: 'make' }), finished('a', 'Bash', { failed: true, output: 'Exit code 2\nlong story' })),
    ).toEqual(['Bash make  failed after 0.2 s: Exit code 2']);
    expect(told(started('a', 'Bash', { command: 'sleep 99' }), event('run.finished', {}))).toEqual(['Bash sleep 99  not finished']);
  });

  test('of a subagent stands below the call that started it, and of another run is another call', () => {
    const calls = new ToolCalls();
    calls.tell(started('a', 'Task', { description: 'look around' }));
    calls.tell(started('b', 'Read', { file_path: 'x' }, { parentCall: 'a' }));
    expect(calls.current).toBe('Read x');
    expect(calls.tell({ ...event('run.finished', {}), runId: 'run_2' })).toEqual([]);
    expect(calls.tell(finished('b', 'Read')).map(({ text }) => text)).toEqual(['  Read x  0.2 s']);
    expect(calls.current).toBe('Task look around');
  });

  test('can neither command the terminal nor fill it', () => {
    const [line = ''] = told(started('a', 'B\x1b[2Jash', { command: `\x1b]0;owned\x07echo\n${'x'.repeat(9_000)}` }), finished('a', 'Bash'));
    expect(line).toMatch(/^Bash echo x+… {2}0\.2 s$/);
    expect(line.length).toBeLessThan(200);
  });
});

describe('an event of an agent', () => {
  test.each([
    [
      'run.retry',
      { attempt: 1, of: 10, waitMs: 2_000, status: 529, error: 'overloaded' },
      'the model answered 529 (overloaded); trying again in 2.0 s, 1 of 10',
    ],
    ['run.retry', { attempt: 2, of: 10, waitMs: 500, status: null, error: '' }, 'the model did not answer; trying again in 0.5 s, 2 of 10'],
    ['run.error', { code: 'model-refused', message: 'no \x1b[31mcredit' }, 'no credit (model-refused)'],
    ['run.thinking', { text: 'first\nthen' }, 'first then'],
    ['run.session', { sessionId: 'x', resumed: true }, 'the conversation goes on where it was'],
    ['run.notes', { notes: [{ note: 'nte_1', kind: 'failure' }], tokens: 90 }, 'reminded of 1 note of earlier work'],
    ['run.verified', { command: ['npm', 'test'], passed: false, exitCode: 1 }, 'the check failed (exit 1): npm test'],
    [
      'run.gate',
      { gate: 'secrets', kind: 'secrets', passed: false, excuse: null, summary: 'What looks\x1b[2J like a secret is added.', findings: 1 },
      'secrets: What looks like a secret is added.',
    ],
    [
      'run.gate',
      { gate: 'tests', kind: 'tests', passed: true, excuse: 'flaky', summary: 'It is flaky.', findings: 0 },
      'tests: It is flaky.',
    ],
    ['run.gate', { gate: 'size', kind: 'size', passed: true, excuse: null, summary: '1 file.', findings: 0 }, undefined],
    [
      'run.round',
      { number: 1, decision: 'continue', rule: null, red: ['tests', 'lint'] },
      'round 1: tests, lint red; the agent is told and goes on',
    ],
    ['run.round', { number: 4, decision: 'stop', rule: 'no-progress', red: ['tests'] }, 'round 4: tests red; given up (no-progress)'],
    ['run.round', { number: 2, decision: 'finish', rule: null, red: [] }, 'round 2: the gates are green'],
    ['run.hook', { id: 'gate', point: 'pre-run', verdict: 'passed', durationMs: 5 }, 'the pre-run hook gate passed'],
    ['run.denied', { tool: 'Bash', by: 'hook a', reason: 'never push' }, 'Bash was refused by hook a: never push'],
    ['run.rewritten', { tool: 'Bash', by: ['hook a'], reason: null, input: {} }, 'Bash got another input'],
    [
      'run.finding',
      { category: 'deprecation', code: 'DEP1', message: 'it is old', file: 'src/a.ts', line: 3, worth: 3 },
      'found (deprecation): it is old (src/a.ts:3)',
    ],
    [
      'task.follow-ups',
      {
        tasks: [{ id: 'tsk_2', title: 'Mend it', from: 'finding' }],
        leftOut: { known: 1, perRun: 2, perDay: 0, tooDeep: 1 },
        reviewSkipped: { code: 'unavailable', message: 'Nobody answers.' },
      },
      'follows: tsk_2 Mend it; 1 more was left out: there has been a task for it before; 2 more were left out: one run may have no more tasks (findings.perRun); 1 more was left out: the chain of tasks is as long as it may be (findings.depth); not reviewed: Nobody answers.',
    ],
    [
      'run.hook',
      { id: 'tell', point: 'error', verdict: 'timed-out', durationMs: 5, message: 'It took \x1b[2Jlong.' },
      'the error hook tell timed-out: It took long.',
    ],
  ] as [string, object, string | undefined][])('%s is told in a line', (type, data, text) => {
    expect(tell(event(type, data as StreamedEvent['data']))?.text).toBe(text);
  });
});

describe('what came of a run', () => {
  test('is nothing when there was neither a repository nor an agent', () => {
    expect(outcome({})).toEqual({});
  });

  test('tells the files, the check, the costs, and how to get the commits', () => {
    const told = outcome({
      branch: 'nightshift/x',
      commits: ['a'.repeat(40), 'b'.repeat(40)],
      filesChanged: [{ path: 'new\x1b[2J.js', from: 'old.js', kind: 'renamed', additions: 3, deletions: 0, binary: false }],
      tests: { command: ['npm', 'test'], passed: false, exitCode: 1, counts: { passed: 2, failed: 1, skipped: 4 } },
      delivery: { kind: 'left-in-mirror', branch: 'nightshift/x', fetchCommand: 'git fetch /m x:x' },
      tokens: { inputTokens: 1_000, outputTokens: 20, cacheReadTokens: 500, cacheWriteTokens: 0 },
      costUsd: 1.234,
      toolCalls: 1,
    });
    expect(told).toEqual({
      branch: 'nightshift/x (2 commits)',
      changed: 'old.js → new.js (renamed) +3 −0',
      check: 'failed with exit code 1: 2 passed, 1 failed, 4 skipped (npm test)',
      'get it': 'git fetch /m x:x',
      cost: '$1.23: 1,500 tokens read (500 of them cached), 20 written, 1 tool call',
    });
    expect(outcome({ delivery: { kind: 'pushed', branch: 'b' } })).toEqual({ delivered: 'pushed as b' });
  });

  test('tells its review, in words that cannot command the terminal', () => {
    const review: NonNullable<Run['review']> = {
      verdict: 'request-changes',
      summary: 'It squeaks.\nMore than before.',
      comments: [
        { path: 'src/gate\x1b[2J.ts', line: 12, startLine: 10, side: 'new', text: 'Oil\r\nthis.\u202e' },
        { path: 'old.ts', line: 3, side: 'old', text: 'Keep it.' },
      ],
    };
    expect(reviewLines(review, plain)).toEqual([
      'It asks for changes.',
      ...['It squeaks.', 'More than before.'],
      ...['', 'src/gate.ts:10–12', '  Oil', '  this.\ufffd'],
      ...['', 'old.ts:3 (taken out)', '  Keep it.'],
    ]);
  });

  test('tells its rounds, and in each what was not simply green', () => {
    const verdict = { kind: 'tests', excuse: null, findings: [], command: null, exitCode: null, counts: null, output: null } as const;
    const more = { signature: null, durationMs: 1, cached: false, tree: null, at: '2026-01-01T00:00:00.000Z' } as const;
    const rounds: Run['rounds'] = [
      {
        ...more,
        number: 1,
        decision: 'continue',
        rule: null,
        verdicts: [{ ...verdict, ...more, gate: 'tests', passed: false, summary: 'make test\x1b[2J exited with 2.' }],
      },
      {
        ...more,
        number: 2,
        decision: 'stop',
        rule: 'round-limit',
        verdicts: [
          { ...verdict, ...more, gate: 'tests', passed: true, summary: 'ok' },
          {
            ...{ ...verdict, ...more, gate: 'weakening', kind: 'weakening', passed: true, summary: 'Look at these.' },
            findings: [{ path: 'lint.sh\x1b[2J', line: null, text: 'is modified' }],
          },
        ],
      },
    ];
    expect(outcomeFields(run({ rounds }), (_style, text) => text).filter(([, value]) => value)).toEqual([
      ['rounds', '1. 0 of 1 gate green, went on'],
      ['', '   tests  make test exited with 2.'],
      ['', '2. 2 of 2 gates green, given up: round-limit'],
      ['', '   weakening  Look at these.'],
      ['', '     lint.sh is modified'],
    ]);
  });
});

describe('a patch', () => {
  const diff = 'diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- not a header\n+\x1b[2Jowned\r\n same\n';

  function printed(result: Partial<Run>, terminal: boolean): { readonly out: string; readonly err: string } {
    const written = { out: '', err: '' };
    const output = (to: 'out' | 'err') => ({
      isTTY: terminal,
      write(text: string) {
        written[to] += text;
      },
    });
    const outputs = { stdout: output('out'), stderr: output('err'), env: {} };
    printPatch({ terminal: outputs, screen: createScreen(outputs) } as unknown as Session, run(result));
    return written;
  }

  test('is coloured by what each line is, not by how it looks', () => {
    expect([...styledPatch(diff)].map(({ style }) => style)).toEqual(['bold', 'bold', 'bold', 'cyan', 'red', 'green', undefined]);
  });

  test('goes to a file as it is, and to a terminal harmless', () => {
    expect(printed({ diff }, false)).toEqual({ out: diff, err: '' });
    expect(printed({ diff }, true).out).toContain('\x1b[32m+owned\x1b[0m\n');
    expect(printed({ diff }, true).out).not.toContain('\x1b[2J');
  });

  test('says when there is none, and where the rest of a long one is', () => {
    expect(printed({}, false)).toEqual({ out: '', err: 'Nothing was changed.\n' });
    expect(printed({ diff, diffTruncated: true, diffFile: '/srv/diff.patch' }, false).err).toContain('/srv/diff.patch');
  });
});

describe('an agent at work', () => {
  let desk: Desk;
  let outside: string;
  let repository: string;
  let id: string;
  let story: { readonly code: number; readonly out: string; readonly err: string };

  beforeAll(async () => {
    desk = new Desk();
    outside = mkdtempSync(join(tmpdir(), 'nightshift-cli-'));
    repository = join(outside, 'sample');
    cpSync(sampleRepository, repository, { recursive: true });
    git(repository, 'init', '--quiet', '--initial-branch=main');
    git(repository, 'add', '.');
    git(repository, 'commit', '--quiet', '--message=begin');
    await desk.startServer({ llmProvider: 'rehearsal' });
    story = await desk.call(['run', 'Fix the failing test', '--repository', repository]);
    id = /tsk_[0-9A-Z]{26}/.exec(story.err)?.[0] ?? '';
  });
  afterAll(async () => {
    await desk.remove();
    rmSync(outside, { recursive: true });
  });

  test('is told by run: words to stdout, remarks and the outcome to stderr', () => {
    expect(story).toMatchObject({ code: 0 });
    expect(story.out).toContain('I will look at the code and run the tests.\nNow the tests.\n');
    expect(story.err).toMatch(/· Edit src\/rota\.js {2}\d/);
    expect(story.err).toMatch(/ {2}changed +src\/rota\.js \+2 −1\n {2}check +passed: 3 passed, 0 failed/);
    expect(story.err).toMatch(/ {2}get it +git fetch /);
  });

  test('is told by logs and by show as well', async () => {
    expect((await desk.call(['logs', id])).err).toMatch(/· Edit src\/rota\.js[\s\S]* {2}cost +\$/);
    const { out } = await desk.call(['show', id]);
    expect(out).toMatch(/What came of it\n {2}summary +\S[^\n]*\n {2}branch +nightshift\//);
    expect(out).toMatch(/Recently\n[\s\S]*Bash node --test/);
    const { runs } = await desk.json<{ readonly runs: readonly Run[] }>('show', id);
    expect((await desk.call(['show', runs[0]?.id ?? ''])).out).toMatch(/ {2}changed +src\/rota\.js \+2 −1/);
  });

  test('leaves a patch that git takes, and commits that can be fetched as it says', async () => {
    const { code, out } = await desk.call(['show', id, '--diff']);
    expect(code).toBe(0);
    writeFileSync(join(desk.home, 'x.patch'), out);
    git(repository, 'apply', join(desk.home, 'x.patch'));
    expect(readFileSync(join(repository, 'src/rota.js'), 'utf8')).toContain('over midnight');
    const [, command = ''] = /get it +git (.*)/.exec(story.err) ?? [];
    git(repository, ...command.split(' '));
    expect(git(repository, 'branch', '--list', 'nightshift/*')).toContain(id);
  });

  test('leaves a patch that is whole, however long it is', async () => {
    const body = JSON.stringify(['sh', '-c', 'seq 100000 > numbers.txt']);
    const flags = ['--engine', 'command', '--body', body, '--repository', repository, '--verify', 'true'];
    const { code, out } = await desk.call(['run', 'count', ...flags]);
    expect(code, out).toBe(0);
    const [task] = (await desk.json<{ readonly items: readonly Task[] }>('tasks', '--limit', '1')).items;
    writeFileSync(join(desk.home, 'long.patch'), (await desk.call(['show', task?.id ?? '', '--diff'])).out);
    git(repository, 'apply', join(desk.home, 'long.patch'));
    expect(readFileSync(join(repository, 'numbers.txt'), 'utf8')).toMatch(/\n100000\n$/);
  });

  test('has changed nothing before it has run', async () => {
    const task = await desk.json<Task>('new', 'later', '--engine', 'command', '--body', 'true', '--not-before', '1d');
    expect(await desk.call(['show', task.id, '--diff'])).toMatchObject({ code: 1, err: expect.stringContaining('has not run yet') });
  });
});
