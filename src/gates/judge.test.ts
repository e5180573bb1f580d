import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import type { GateVerdict } from '../domain/gate.ts';
import { evidence, type Gate, type Scene } from './gate.ts';
import { judge } from './judge.ts';

const scene: Scene = {
  change: undefined,
  run: async () => ({ kind: 'ended', exitCode: 0, timedOut: false, output: '' }),
  runBefore: async () => undefined,
  runWithOld: async () => undefined,
  known: () => false,
  leftBehind: async () => undefined,
  directory: '/nowhere',
};

const ask = async (gates: readonly Gate[], earlier: readonly GateVerdict[] = []): Promise<readonly GateVerdict[]> => {
  const judged = await judge(
    { scene, gates, earlier, clock: new ManualClock(0), tell: async () => undefined },
    new AbortController().signal,
  );
  if (!judged.ok) throw new Error(JSON.stringify(judged.outcome));
  return judged.verdicts;
};
const gate = (id: string, kind: Gate['kind'], check: () => Promise<boolean>): Gate => ({
  id,
  kind,
  check: async () => evidence({ passed: await check(), summary: id, command: kind === 'secrets' || kind === 'changed' ? null : [id] }),
});

test('commands are run one after the other, and what only looks at the change is asked meanwhile', async () => {
  const told = Promise.withResolvers<boolean>();
  let running = 0;
  const command = (id: string, kind: Gate['kind']): Gate =>
    gate(id, kind, async () => {
      running += 1;
      expect(running).toBe(1);
      await told.promise; // it would wait for ever if the secrets were looked for after it
      running -= 1;
      return true;
    });
  const verdicts = await ask([
    gate('changed', 'changed', async () => true),
    command('build', 'build'),
    gate('secrets', 'secrets', async () => {
      told.resolve(true);
      return false;
    }),
    command('tests', 'tests'),
    gate('coverage', 'coverage', async () => {
      expect(running).toBe(0);
      return true;
    }),
  ]);
  expect(verdicts.map(({ gate: id, passed }) => [id, passed])).toEqual([
    ['changed', true],
    ['build', true],
    ['secrets', false],
    ['tests', true],
    ['coverage', true],
  ]);
});

test('a gate that breaks does not leave a command running behind it', async () => {
  const broken = Promise.withResolvers<boolean>();
  let ended = false;
  const judging = ask([
    gate('tests', 'tests', async () => {
      await broken.promise;
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
      ended = true;
      return true;
    }),
    gate('secrets', 'secrets', async () => {
      broken.resolve(true);
      throw new Error('broken');
    }),
  ]);
  await expect(judging).rejects.toThrow('broken');
  expect(ended).toBe(true);
});

test('when nothing has been changed nothing else is asked', async () => {
  const never = gate('tests', 'tests', () => Promise.reject(new Error('asked')));
  expect(await ask([gate('changed', 'changed', async () => false), never])).toMatchObject([{ gate: 'changed', passed: false }]);
});

test('what an earlier round found for the same files holds, unless it is a command that was not green', async () => {
  let asked: string[] = [];
  const gates = (['tests', 'lint', 'secrets'] as const).map((kind) =>
    gate(kind, kind, async () => {
      asked.push(kind);
      return kind === 'tests';
    }),
  );
  const first = await ask(gates);
  expect(asked.toSorted()).toEqual(['lint', 'secrets', 'tests']);
  asked = [];
  const second = await ask(gates, first);
  expect(asked).toEqual(['lint']);
  expect(second.map(({ gate: id, cached }) => [id, cached])).toEqual([
    ['tests', true],
    ['lint', false],
    ['secrets', true],
  ]);
});

test('whether gates are weakened is asked again for the same files: git does not show all that they go by', async () => {
  let weakened = false;
  const weakening: Gate = {
    id: 'weakening',
    kind: 'weakening',
    check: async () => evidence({ passed: !weakened, summary: '' }),
  };
  const first = await ask([weakening]);
  weakened = true;
  expect(await ask([weakening], first)).toMatchObject([{ passed: false, cached: false }]);
});
