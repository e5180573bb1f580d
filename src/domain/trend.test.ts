import { describe, expect, test } from 'vitest';
import { autonomyOf, byDay, bySource, byWeek, type EndsAlike, endsOf, mondayOf, noEnds, successOf, weeksBetween } from './trend.ts';

const alike = (since: string, status: string, helped: boolean, tasks = 1): EndsAlike => ({ since, status, helped, tasks });

describe('autonomy', () => {
  test('is the share of finished tasks that succeeded without a person', () => {
    const ends = endsOf([
      alike('2026-11-02', 'succeeded', false, 6),
      alike('2026-11-02', 'succeeded', true, 2),
      alike('2026-11-03', 'failed', false, 1),
      alike('2026-11-03', 'cancelled', true, 1),
    ]);
    expect(ends).toEqual({ succeeded: 8, failed: 1, cancelled: 1, finished: 10, alone: 6 });
    expect(autonomyOf(ends)).toBe(0.6);
    expect(successOf(ends)).toBeCloseTo(8 / 9);
  });

  test('does not count what was called off before anybody had to help', () => {
    expect(endsOf([alike('2026-11-02', 'cancelled', false, 5)])).toEqual({ ...noEnds, cancelled: 5 });
  });

  test('is unknown where nothing was finished', () => {
    expect(autonomyOf(noEnds)).toBeNull();
    expect(successOf(noEnds)).toBeNull();
  });
});

test('a week begins on Monday', () => {
  expect(['2026-11-15', '2026-11-16', '2026-11-22', '2026-01-01'].map(mondayOf)).toEqual([
    '2026-11-09',
    '2026-11-16',
    '2026-11-16',
    '2025-12-29',
  ]);
});

test('days and weeks on which nothing ended are there too', () => {
  const some = [alike('2026-11-15', 'succeeded', false, 2), alike('2026-11-24', 'failed', false)];
  const days = byDay(some, '2026-11-14', '2026-11-24');
  expect(days).toHaveLength(11);
  expect(days[1]).toMatchObject({ day: '2026-11-15', succeeded: 2 });
  expect(days[10]).toMatchObject({ day: '2026-11-24', failed: 1 });
  expect(byWeek(some, weeksBetween('2026-11-14', '2026-11-24')).map(({ week, finished }) => [week, finished])).toEqual([
    ['2026-11-09', 2],
    ['2026-11-16', 0],
    ['2026-11-23', 1],
  ]);
});

test('the busiest source goes first', () => {
  const some = [
    { ...alike('2026-11-15', 'succeeded', false, 2), source: 'api' },
    { ...alike('2026-11-15', 'failed', true, 3), source: 'github' },
  ];
  const sources = bySource(some, weeksBetween('2026-11-09', '2026-11-22'));
  expect(sources.map(({ source, succeeded, failed }) => [source, succeeded, failed])).toEqual([
    ['github', 0, 3],
    ['api', 2, 0],
  ]);
  expect(sources[1]?.weeks.map(({ succeeded }) => succeeded)).toEqual([2, 0]);
});
