import { describe, expect, test } from 'vitest';
import { emptyTranscript, extend } from './transcript.ts';
import type { EventView } from './views.ts';

const event = (id: number, type: string, data: Record<string, unknown>): EventView => ({
  id: String(id),
  at: '2026-01-01T00:00:00.000Z',
  type,
  taskId: 'tsk_1',
  runId: 'run_1',
  data,
});

describe('a transcript', () => {
  test('makes one item of a call and its result, also when others come between', () => {
    const { items } = extend(emptyTranscript, [
      event(1, 'run.tool-started', { call: 'a', tool: 'Bash', input: { command: 'one' } }),
      event(2, 'run.tool-started', { call: 'b', tool: 'Read', input: { file_path: 'two' }, parentCall: 'a' }),
      event(3, 'run.tool-finished', { call: 'a', tool: 'Bash', failed: true, output: 'no', outputSize: 2, durationMs: 5 }),
    ]);
    expect(items).toMatchObject([
      { kind: 'tool', tool: 'Bash', nested: false, result: { failed: true, output: 'no' } },
      { kind: 'tool', tool: 'Read', nested: true, result: undefined },
    ]);
  });

  test('takes each event once, however history and live events overlap', () => {
    const events = [1, 2, 3, 4].map((id) => event(id, 'run.text', { text: `said ${id}` }));
    const half = extend(emptyTranscript, events.slice(0, 3));
    const whole = extend(half, events.slice(1));
    expect(whole.items.map((item) => item.kind === 'text' && item.text)).toEqual(['said 1', 'said 2', 'said 3', 'said 4']);
    expect(extend(whole, events)).toBe(whole);
  });

  test('joins output into pieces of one stream, and no longer than is read at a glance', () => {
    const { items } = extend(emptyTranscript, [
      event(1, 'run.output', { stream: 'stdout', text: 'a\n' }),
      event(2, 'run.output', { stream: 'stdout', text: 'b\n' }),
      event(3, 'run.output', { stream: 'stderr', text: 'c\n' }),
      event(4, 'run.output', { stream: 'stdout', text: 'd'.repeat(3_000) }),
      event(5, 'run.output', { stream: 'stdout', text: 'e'.repeat(3_000) }),
    ]);
    expect(items.map((item) => item.kind === 'output' && [item.stream, item.text.length])).toEqual([
      ['stdout', 4],
      ['stderr', 2],
      ['stdout', 3_000],
      ['stdout', 3_000],
    ]);
  });

  test('tells of checks, failures of the model and the end, and passes over what it does not know', () => {
    const { items, ended } = extend(emptyTranscript, [
      event(1, 'run.retry', { attempt: 1, of: 3, waitMs: 1_500, status: 529, error: 'overloaded' }),
      event(2, 'run.verified', { command: ['npm', 'test'], passed: false, exitCode: 1 }),
      event(3, 'run.something-new', { x: 1 }),
      event(4, 'run.finished', { status: 'failed', reason: { code: 'x', message: 'It went wrong.' } }),
    ]);
    expect(items).toMatchObject([
      { tone: 'bad', text: 'The model did not answer (529); try 1 of 3 follows in 2 s' },
      { tone: 'bad', text: 'The check failed with exit code 1', detail: 'npm test' },
      { tone: 'bad', text: 'The run ended: failed', detail: 'It went wrong.' },
    ]);
    expect(ended).toBe('failed');
  });

  test('tells of gates and checkpoints in words', () => {
    const { items } = extend(emptyTranscript, [
      event(1, 'run.gate', { gate: 'types', passed: false, excuse: null, summary: 'Two errors.' }),
      event(2, 'run.gate', { gate: 'lint', passed: true, excuse: 'red-before', summary: 'As before.' }),
      event(3, 'run.checkpoint', { number: 2, note: 'Before rm' }),
      event(4, 'run.rewound', { by: 'owner', before: 'chk_1' }),
    ]);
    expect(items).toMatchObject([
      { tone: 'bad', text: 'The gate types: Two errors.' },
      { tone: 'plain', text: 'The gate lint: As before.' },
      { tone: 'plain', text: 'Checkpoint 2', detail: 'Before rm' },
      { tone: 'plain', text: 'owner put the files back to a checkpoint; what they were is kept as a checkpoint' },
    ]);
  });
});
