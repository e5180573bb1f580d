import { expect, test } from 'vitest';
import type { Finding } from '../../domain/finding.ts';
import { found, type Seen } from './seen.ts';
import { mostFindings, nothingYet, type Step, type Tracked, track } from './track.ts';

const seen = (command: string | null, failed = true): Seen => ({ tool: 'Bash', command, lines: [], failed, durationMs: 1, written: [] });
const broken = found('test-failure', 'adds', 'no', 4);
const old = found('deprecation', 'DEP1', 'old', 3);
const signature = ({ category, code }: { category: string; code: string }): string => `${category} ${code}`;

/** What each use of a tool changes. */
function story(...uses: readonly (readonly [Seen, readonly Finding[]])[]): readonly string[] {
  let tracked: Tracked = nothingYet;
  return uses.map(([use, findings]) => {
    const step: Step = track(tracked, use, findings, signature);
    tracked = step.next;
    return [...step.added.map(({ signature: s }) => `+${s}`), ...step.gone.map((s) => `-${s}`), ...step.back.map((s) => `~${s}`)].join(' ');
  });
}

test('a finding is new once; it is gone when its command does not show it any more, and may come back', () => {
  expect(
    story(
      [seen('npm test'), [broken, old]],
      [seen('npm test'), [broken, old]],
      [seen('npm test'), [old]],
      [seen('npm test'), [broken, old]],
      [seen('npm test', false), []],
    ),
  ).toEqual([
    '+test-failure adds +deprecation DEP1',
    '',
    '-test-failure adds',
    '+repetition npm test ~test-failure adds',
    '-test-failure adds -deprecation DEP1',
  ]);
});

test('an error is gone as well when a command like its own passes; a warning is not, and neither is by another command', () => {
  expect(
    story(
      [seen('npm test -- sum'), [broken, old]],
      [seen('npm run lint', false), []],
      [seen('npm test -- other', true), []],
      [seen('npm test', false), []],
    ),
  ).toEqual(['+test-failure adds +deprecation DEP1', '', '', '-test-failure adds']);
});

test('what was written stays until the run is over, whatever is run', () => {
  expect(story([seen(null, false), [found('todo', 'a later', 'TODO: later', 3)]], [seen('npm test', false), []])).toEqual([
    '+todo a later',
    '',
  ]);
});

test('a command that fails three times in the same way is a finding, once; one that passes in between begins anew', () => {
  const fails: readonly [Seen, readonly Finding[]] = [seen('npm test'), [broken]];
  const passes: readonly [Seen, readonly Finding[]] = [seen('npm test', false), []];
  expect(story(fails, fails, fails, fails)).toEqual(['+test-failure adds', '', '+repetition npm test', '']);
  expect(story(fails, fails, passes, fails, fails).at(-1)).toBe('');
  const differently: readonly [Seen, readonly Finding[]] = [seen('npm test'), [old]];
  expect(story(fails, differently, fails, differently).join(' ')).not.toContain('repetition');
});

test('a run that never stops finding is heard up to a limit', () => {
  const many = Array.from({ length: 3 * mostFindings }, (_, i) => found('security', `CVE-${i}`, 'x', 5));
  const step = track(nothingYet, seen('audit'), many, signature);
  expect(step.added).toHaveLength(mostFindings);
  expect(track(step.next, seen('audit'), many, signature)).toMatchObject({ added: [], gone: [], back: [] });
});
