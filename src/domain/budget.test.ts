import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { admit, type Cap, type CapScope, isUsedUp, nextUtcDay, utcDay, type WorstCase } from './budget.ts';

const worst = (more: Partial<WorstCase> = {}): WorstCase => ({
  inputTokens: 1_000,
  inputMicroUsd: 3_000,
  outputTokens: 32_000,
  outputMicroUsdPerToken: 15,
  leastOutputTokens: 1_024,
  ...more,
});
const cap = (limit: number | null, spent = 0, reserved = 0, scope: CapScope = 'day'): Cap => ({ scope, limit, spent, reserved });

describe('a call', () => {
  test('that fits is admitted at its worst case', () => {
    expect(admit([cap(1_000_000)], worst())).toEqual({ kind: 'granted', outputTokens: 32_000, microUsd: 483_000, tokens: 33_000 });
    expect(admit([cap(null)], worst())).toMatchObject({ kind: 'granted', outputTokens: 32_000 });
  });

  test('whose whole answer no longer fits is kept shorter rather than refused', () => {
    expect(admit([cap(33_000)], worst())).toEqual({ kind: 'granted', outputTokens: 2_000, microUsd: 33_000, tokens: 3_000 });
  });

  test('for which only an answer too short for any use is left is refused by the tightest cap', () => {
    const caps = [cap(1_000_000), cap(18_000, 0, 0, 'task'), cap(17_000, 0, 0, 'run')];
    expect(admit(caps, worst())).toEqual({ kind: 'refused', scope: 'run' });
  });

  test('that asks for a short answer is not measured by what others need', () => {
    expect(admit([cap(3_150)], worst({ outputTokens: 10 }))).toMatchObject({ kind: 'granted', outputTokens: 10, microUsd: 3_150 });
    expect(admit([cap(3_149)], worst({ outputTokens: 10 }))).toEqual({ kind: 'refused', scope: 'day' });
  });

  test('waits for money that is only held by others, unless its answer can be comfortably long without it', () => {
    expect(admit([cap(600_000, 0, 590_000)], worst())).toMatchObject({ kind: 'wait', microUsd: expect.any(Number) });
    expect(admit([cap(600_000, 0, 400_000)], worst())).toMatchObject({ kind: 'granted', outputTokens: 13_133 });
    expect(admit([cap(600_000, 590_000, 0)], worst())).toEqual({ kind: 'refused', scope: 'day' });
  });

  test('counts in tokens where the budget is one of tokens', () => {
    expect(admit([cap(5_000, 0, 0, 'proactive')], worst())).toMatchObject({ kind: 'granted', outputTokens: 4_000, tokens: 5_000 });
    expect(admit([cap(2_000, 0, 0, 'proactive')], worst())).toEqual({ kind: 'refused', scope: 'proactive' });
  });

  test('of a model that costs nothing fits any budget of money, even one of nothing', () => {
    expect(admit([cap(0)], worst({ inputMicroUsd: 0, outputMicroUsdPerToken: 0 }))).toMatchObject({ kind: 'granted', microUsd: 0 });
  });
});

test('whatever is reserved and settled, in whatever order, no cap is ever passed', () => {
  const step = fc.record({
    input: fc.nat(200_000),
    output: fc.integer({ min: 1, max: 128_000 }),
    perToken: fc.constantFrom(0, 0.5, 1.25, 15, 75, 22.5),
    used: fc.double({ min: 0, max: 1, noNaN: true }),
    ends: fc.nat(5),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(5_000_000), fc.nat(5_000_000), (steps, dayLimit, runLimit) => {
      const counters = { day: { spent: 0, reserved: 0 }, run: { spent: 0, reserved: 0 } };
      const open: { readonly microUsd: number; readonly used: number }[] = [];
      for (const { input, output, perToken, used, ends } of steps) {
        const caps = [
          { scope: 'day' as const, limit: dayLimit, ...counters.day },
          { scope: 'run' as const, limit: runLimit, ...counters.run },
        ];
        const admission = admit(caps, worst({ inputMicroUsd: input, outputTokens: output, outputMicroUsdPerToken: perToken }));
        if (admission.kind === 'granted') {
          open.push({ microUsd: admission.microUsd, used: Math.floor(admission.microUsd * used) });
          for (const counter of Object.values(counters)) counter.reserved += admission.microUsd;
          expect(admission.outputTokens).toBeGreaterThan(0);
        }
        // Nobody waits for money that nobody holds.
        if (admission.kind === 'wait') expect(open.length).toBeGreaterThan(0);
        for (const call of open.splice(0, ends)) {
          for (const counter of Object.values(counters)) {
            counter.reserved -= call.microUsd;
            counter.spent += call.used;
          }
        }
        expect(counters.day.spent + counters.day.reserved).toBeLessThanOrEqual(dayLimit);
        expect(counters.run.spent + counters.run.reserved).toBeLessThanOrEqual(runLimit);
        expect(Math.min(counters.day.reserved, counters.run.reserved)).toBeGreaterThanOrEqual(0);
      }
    }),
  );
});

test('a budget counts as used up when almost nothing is left, not when one call was too large for it', () => {
  expect([isUsedUp(100, 96), isUsedUp(100, 90), isUsedUp(100, 0), isUsedUp(0, 0)]).toEqual([true, false, false, true]);
});

test('days begin and end at midnight UTC', () => {
  const midnight = Date.UTC(2026, 2, 1);
  expect([utcDay(midnight - 1), utcDay(midnight)]).toEqual(['2026-02-28', '2026-03-01']);
  expect([nextUtcDay(midnight - 1), nextUtcDay(midnight)]).toEqual([midnight, midnight + 86_400_000]);
});
