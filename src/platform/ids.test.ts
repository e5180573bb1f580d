import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { isId, kindOfId } from '../domain/id.ts';
import { systemClock } from './clock.ts';
import { createIds } from './ids.ts';

describe('ids', () => {
  test('sort by birth, also within a millisecond', () => {
    const clock = new ManualClock();
    const newId = createIds(clock);
    const ids = Array.from({ length: 1_000 }, (_, i) => {
      if (i % 10 === 0) clock.advance(1);
      return newId('tsk');
    });
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(isId('task', id), id).toBe(true);
  });

  test('go on rising when the clock jumps back, and forward', () => {
    const clock = new ManualClock();
    const newId = createIds(clock);
    const ids: string[] = [];
    for (const jump of [0, -86_400_000, 5, 365 * 86_400_000, -2 * 365 * 86_400_000, 0]) {
      clock.jump(jump);
      ids.push(newId('run'), newId('run'));
    }
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('of two processes differ', () => {
    const [a, b] = [createIds(systemClock), createIds(systemClock)];
    const ids = Array.from({ length: 500 }, () => [a('tsk'), b('tsk')]).flat();
    expect(new Set(ids).size).toBe(1_000);
  });

  test('do not overflow when chance gives the largest there is', () => {
    const newId = createIds(new ManualClock(), (bytes) => Buffer.alloc(bytes, 0xff));
    const ids = Array.from({ length: 100 }, () => newId('tsk'));
    for (const id of ids) expect(isId('task', id)).toBe(true);
    expect(ids.toSorted()).toEqual(ids);
  });

  test('tell of what they are', () => {
    const newId = createIds(systemClock);
    expect(kindOfId(newId('run'))).toBe('run');
    expect(kindOfId(newId('nod'))).toBe('node');
    for (const text of [
      '',
      'tsk_',
      'tsk_01ARZ3NDEKTSV4RRFFQ69G5FA',
      'tsk_81ARZ3NDEKTSV4RRFFQ69G5FAV',
      'tsk_01arz3ndektsv4rrffq69g5fav',
      'tsk_01ARZ3NDEKTSV4RRFFQ69G5FAV\n',
    ])
      expect(kindOfId(text), text).toBeUndefined();
  });
});
