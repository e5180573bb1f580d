import { expect, test } from 'vitest';
import { type Alert, judge, type Trouble, wellForMs } from './alert.ts';

const about = { name: 'disk', node: '', severity: 'critical' as const, forMs: 10_000 };
const trouble: Trouble = { title: 'full', text: 'make room' };

/** What is told over a series of looks, ten seconds apart unless said otherwise. */
function told(looks: readonly (Trouble | null)[], everyMs = 10_000): readonly (string | null)[] {
  let known: Alert | undefined;
  return looks.map((look, index) => {
    const { alert, tell } = judge(known, look, about, index * everyMs);
    known = alert;
    return tell;
  });
}

test('what passes by itself is never told', () => {
  expect(told([trouble, null, trouble, null])).toEqual([null, null, null, null]);
});

test('what stays is told once, however long it stays', () => {
  expect(told([trouble, trouble, trouble, trouble])).toEqual([null, 'raised', null, null]);
});

test('what is over is told once it has been well for a while, and may come again', () => {
  const well = Array.from({ length: wellForMs / 10_000 + 1 }, () => null);
  expect(told([trouble, trouble, ...well, trouble, trouble])).toEqual([null, 'raised', ...well.slice(1), 'resolved', null, 'raised']);
});

test('what comes and goes is told once', () => {
  expect(told([trouble, trouble, null, trouble, null, trouble, null])).toEqual([null, 'raised', null, null, null, null, null]);
});

test('a clock that is set back holds nothing up', () => {
  const first = judge(undefined, trouble, about, 1_000_000).alert;
  const later = judge(first, trouble, about, 500_000);
  expect(later.alert?.since).toBe(500_000);
  expect(judge(later.alert, trouble, about, 510_000).tell).toBe('raised');
});

test('the newest words are kept', () => {
  const first = judge(undefined, trouble, about, 0).alert;
  expect(judge(first, { title: 'fuller', text: 'now' }, about, 5_000).alert).toMatchObject({ title: 'fuller', text: 'now' });
});
