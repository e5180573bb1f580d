import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { asOrdinaryUser } from '../test/support/ordinary-user.ts';
import { temporaryHome } from '../test/support/stores.ts';
import { Unusable } from './domain/errors.ts';
import { currentToken, makeToken, prepareHome, readToken, takeHome, whereaboutsIn } from './home.ts';
import { systemClock } from './platform/clock.ts';
import { createIds } from './platform/ids.ts';

const newId = createIds(systemClock);
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);

let root: string;
let home: string;

beforeEach(() => {
  root = temporaryHome();
  home = join(root, 'deep', 'home');
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('a home', () => {
  test('is made when it is not there, for its owner alone', async () => {
    const taken = await takeHome(home, newId);
    expect(mode(home)).toBe('700');
    expect(mode(join(home, 'node-id'))).toBe('600');
    taken.release();
  });

  test('keeps its name over restarts', async () => {
    const first = await takeHome(home, newId);
    first.release();
    const second = await takeHome(home, newId);
    expect(second.nodeId).toBe(first.nodeId);
    second.release();
    writeFileSync(join(home, 'node-id'), 'scribble\n');
    const third = await takeHome(home, newId);
    expect(third.nodeId).toMatch(/^nod_/);
    third.release();
  });

  test('is taken by one server at a time, and the refused one is told by whom', async () => {
    const first = await takeHome(home, newId);
    first.announce({ pid: 4711, address: 'http://127.0.0.1:8080' });
    await expect(takeHome(home, newId)).rejects.toMatchObject({
      code: 'home-taken',
      message: expect.stringMatching(/\(process 4711 at http:\/\/127\.0\.0\.1:8080\)\. Stop it, or .*NIGHTSHIFT_HOME/),
    });
    symlinkSync(home, join(root, 'other-name'));
    await expect(takeHome(join(root, 'other-name'), newId)).rejects.toMatchObject({ code: 'home-taken' });
    first.release();
    expect(whereaboutsIn(home)).toBeUndefined();
    (await takeHome(home, newId)).release();
  });

  test('that cannot be one is refused with its path', async () => {
    const file = join(root, 'a-file');
    writeFileSync(file, '');
    for (const path of [file, join(file, 'below'), join(root, 'x'.repeat(300))]) {
      const error: unknown = await takeHome(path, newId).catch((cause: unknown) => cause);
      expect(error, path).toBeInstanceOf(Unusable);
      expect(error).toMatchObject({ code: 'home-unusable', message: expect.stringContaining(path) });
    }
    const locked = join(root, 'locked');
    mkdirSync(join(locked, 'lock'), { recursive: true });
    await expect(takeHome(locked, newId)).rejects.toMatchObject({ code: 'home-unusable' });
  });

  test('that may not be written is refused with what to do', async () => {
    mkdirSync(home, { recursive: true });
    chmodSync(root, 0o755);
    chmodSync(join(root, 'deep'), 0o755);
    chmodSync(home, 0o555);
    for (const path of [home, join(home, 'below')]) {
      const error: unknown = await asOrdinaryUser(() => takeHome(path, newId)).catch((cause: unknown) => cause);
      expect(error, path).toBeInstanceOf(Unusable);
      expect(error).toMatchObject({ code: 'home-unusable', message: expect.stringContaining(path) });
    }
    chmodSync(home, 0o755);
  });

  test('does not trip over a whereabouts file that is broken', async () => {
    prepareHome(home);
    writeFileSync(join(home, 'server.json'), '{"pid":');
    expect(whereaboutsIn(home)).toBeUndefined();
    (await takeHome(home, newId)).release();
  });
});

describe("the owner's key", () => {
  test('is made at the first start, kept, and readable by its owner alone', () => {
    prepareHome(home);
    expect(readToken(home, undefined)).toBeUndefined();
    const token = currentToken(home, undefined)();
    expect(token).toMatch(/^ns_[\w-]{43}$/);
    expect(mode(join(home, 'token'))).toBe('600');
    expect(currentToken(home, undefined)()).toBe(token);
    expect(readToken(home, undefined)).toBe(token);
    expect(readdirSync(home)).toEqual(['token']);
  });

  test('is the configured one when there is one, and then none is made', () => {
    prepareHome(home);
    expect(currentToken(home, 'configured-owner-key')()).toBe('configured-owner-key');
    expect(existsSync(join(home, 'token'))).toBe(false);
  });

  test('that was replaced counts at once, in a server that runs', () => {
    prepareHome(home);
    const current = currentToken(home, undefined);
    const before = current();
    const after = makeToken(home);
    expect(after).not.toBe(before);
    expect(current()).toBe(after);
    rmSync(join(home, 'token'));
    expect(current()).toBe(after);
  });

  test('that is empty on disk counts as none, so that nobody is locked out', () => {
    prepareHome(home);
    writeFileSync(join(home, 'token'), '\n');
    expect(currentToken(home, undefined)()).toMatch(/^ns_/);
  });

  test('replaces one that was open to others with one that is not', () => {
    prepareHome(home);
    writeFileSync(join(home, 'token'), 'old-and-open-to-everyone\n');
    chmodSync(join(home, 'token'), 0o644);
    makeToken(home);
    expect(mode(join(home, 'token'))).toBe('600');
    expect(readFileSync(join(home, 'token'), 'utf8')).not.toContain('old');
  });
});
