import fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '../platform/clock.ts';
import { createIds } from '../platform/ids.ts';
import { jobId, taskId } from './pg-boss.ts';

test('a task id and its job id are the same 128 bits', () => {
  const newId = createIds(systemClock);
  fc.assert(
    fc.property(fc.nat(), () => {
      const id = newId('tsk');
      expect(jobId(id)).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      expect(taskId(jobId(id))).toBe(id);
    }),
  );
});
