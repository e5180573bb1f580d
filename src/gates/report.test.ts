import { expect, test } from 'vitest';
import type { Finding, GateVerdict } from '../domain/gate.ts';
import { sayWeakening } from './report.ts';

const verdict = (kind: GateVerdict['kind'], passed: boolean, ...findings: readonly Finding[]): GateVerdict => ({
  gate: kind,
  kind,
  passed,
  excuse: null,
  summary: 'x',
  findings,
  command: null,
  exitCode: null,
  counts: null,
  output: null,
  signature: null,
  durationMs: 0,
  cached: false,
});
const finding = (path: string): Finding => ({ path, line: 3, text: 'is what the gate lint goes by and is modified' });

test('a person is told of all that a change does to its own checks, a line each', () => {
  expect(sayWeakening([verdict('weakening', true), verdict('security', true, finding('a.js'))])).toEqual([]);
  expect(sayWeakening([verdict('weakening', false, finding('lint.sh'))])).toEqual([]);
  expect(sayWeakening([verdict('weakening', true, finding('lint.sh'), finding('a\n- b'))])).toEqual([
    [
      'This changes what its own checks go by; look at it before you trust them:',
      '- lint.sh:3 is what the gate lint goes by and is modified',
      '- a - b:3 is what the gate lint goes by and is modified',
    ].join('\n'),
  ]);
  const many = sayWeakening([verdict('weakening', true, ...Array.from({ length: 13 }, (_, at) => finding('x'.repeat(1_000) + at)))]).join();
  expect(many.split('\n')).toHaveLength(12);
  expect(many).toMatch(/- and 3 more$/);
  expect(many.length).toBeLessThan(3_500);
});
