import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { artifactsIn } from './artifacts.ts';
import { parseReview, readReview } from './review.ts';

const sound = { verdict: 'request-changes', summary: 'It squeaks.', comments: [{ path: './gate.md', line: 3, text: 'here' }] };

describe('what an agent leaves as its review', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nightshift-review-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const leave = (text: string): void => {
    mkdirSync(artifactsIn(directory), { recursive: true });
    writeFileSync(join(artifactsIn(directory), 'review.json'), text);
  };

  test('is read from among its artifacts', async () => {
    leave(JSON.stringify(sound));
    expect(await readReview(directory)).toEqual({
      ok: true,
      review: { ...sound, comments: [{ path: 'gate.md', line: 3, side: 'new', text: 'here' }] },
    });
  });

  test('is not there when there is none, when it is too long, and when it leads elsewhere', async () => {
    expect(await readReview(directory)).toMatchObject({ ok: false, message: expect.stringContaining('There is no review') });
    leave(JSON.stringify({ ...sound, summary: 'x'.repeat(600_000) }));
    expect(await readReview(directory)).toMatchObject({ ok: false });

    const secret = join(directory, 'secret.json');
    writeFileSync(secret, JSON.stringify(sound));
    rmSync(join(artifactsIn(directory), 'review.json'));
    symlinkSync(secret, join(artifactsIn(directory), 'review.json'));
    expect(await readReview(directory)).toMatchObject({ ok: false });

    rmSync(join(directory, '.nightshift'), { recursive: true });
    mkdirSync(join(directory, 'elsewhere', 'artifacts'), { recursive: true });
    writeFileSync(join(directory, 'elsewhere', 'artifacts', 'review.json'), JSON.stringify(sound));
    symlinkSync(join(directory, 'elsewhere'), dirname(artifactsIn(directory)));
    expect(await readReview(directory)).toMatchObject({ ok: false });
  });

  test.each([
    ['no JSON', '{"verdict":', 'is not JSON'],
    ['a list', '[]', 'the whole'],
    ['an unknown verdict', JSON.stringify({ ...sound, verdict: 'merge' }), 'verdict'],
    ['no words', JSON.stringify({ ...sound, summary: ' \0 ' }), 'summary: must say something'],
    ['line 0', JSON.stringify({ ...sound, comments: [{ path: 'a', line: 0, text: 'x' }] }), 'comments.0.line'],
    ['too much', JSON.stringify({ ...sound, comments: Array(201).fill({ path: 'a', line: 1, text: 'x' }) }), 'comments'],
    ['depth', '['.repeat(100_000), 'not'],
  ])('is refused with a reason when it has %s', (_what, text, why) => {
    expect(parseReview(text)).toMatchObject({ ok: false, message: expect.stringContaining(why) });
  });

  test('loses what no database and no comment can take', () => {
    const odd = { path: 'a', line: 5, startLine: 9, side: 'old', text: `a\0b\ud800${'x'.repeat(5_000)}` };
    const parsed = parseReview(JSON.stringify({ ...sound, comments: [odd, { ...odd, startLine: 2 }] }));
    const [first, second] = parsed.ok ? parsed.review.comments : [];
    expect(first).toMatchObject({ line: 5, side: 'old' });
    expect(first).not.toHaveProperty('startLine');
    expect(second).toMatchObject({ startLine: 2, line: 5 });
    expect(first?.text).toMatch(/^ab\ufffdx+…$/);
    expect(first?.text).toHaveLength(4_000);
  });
});
