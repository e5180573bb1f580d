import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { processesWith, until } from '../../../test/support/server-process.ts';
import { temporaryHome } from '../../../test/support/stores.ts';
import { Unusable } from '../../domain/errors.ts';
import { noResult } from '../../domain/result.ts';
import { systemClock } from '../../platform/clock.ts';
import { sweep } from '../../platform/subprocess.ts';
import { sweepRun } from '../clear-away.ts';
import { configuredHooks } from './configured.ts';
import type { Hook, HookFacts } from './hook.ts';
import { createHooks, type Heard } from './registry.ts';

let root: string;
let work: string;
let runId: string;
let facts: HookFacts;

beforeEach(() => {
  root = temporaryHome();
  work = join(root, 'work');
  mkdirSync(work);
  runId = `run_${randomUUID()}`;
  facts = {
    point: 'pre-run',
    task: {
      id: 'tsk_1',
      source: 'test',
      externalRef: null,
      title: 'Grüße',
      body: 'x'.repeat(300_000),
      repository: null,
      ref: null,
      priority: 'medium',
      requestedBy: 'test',
      trust: 'owner',
    },
    run: { id: runId, attempt: 1, engine: 'command' },
    workspace: { directory: work, branch: null, baseCommit: null },
    outcome: null,
    result: noResult,
  };
});

afterEach(async () => {
  await sweep((variable) => variable === `NIGHTSHIFT_RUN_ID=${runId}`);
  rmSync(root, { recursive: true, force: true });
});

const alive = (): readonly number[] => processesWith(`NIGHTSHIFT_RUN_ID=${runId}`);
const parts = () => ({
  clock: systemClock,
  directory: root,
  env: { PATH: process.env['PATH'] ?? '', HOME: root, NIGHTSHIFT_NODE: 'nod_1/boot' },
});
const command = (argv: readonly string[], on: Hook['on'] = 'pre-run', timeoutSeconds = 60): Hook =>
  configuredHooks([{ id: 'it', on, timeoutSeconds, command: argv }], parts())[0] as Hook;
const sh = (script: string, on?: Hook['on'], timeoutSeconds?: number): Hook => command(['sh', '-c', script], on, timeoutSeconds);
function module(text: string, timeoutSeconds = 60, name = 'hook.mjs'): Hook {
  writeFileSync(join(root, name), text);
  return configuredHooks([{ id: 'it', on: 'pre-run', timeoutSeconds, module: join(root, name) }], parts())[0] as Hook;
}

async function verdictOf(hook: Hook, signal = new AbortController().signal): Promise<Heard> {
  const hooks = createHooks(systemClock);
  hooks.register(hook);
  return hooks.call(hook, { ...facts, point: hook.on } as HookFacts, signal);
}

describe('a command', () => {
  test('gets the facts as JSON, in the workspace, with nothing of the server in its environment but its markers', async () => {
    process.env['NIGHTSHIFT_TEST_SECRET'] = 'inherited';
    expect(await verdictOf(sh('cat > facts.json; env > env.txt'))).toMatchObject({ verdict: 'passed' });
    delete process.env['NIGHTSHIFT_TEST_SECRET'];
    expect(JSON.parse(readFileSync(join(work, 'facts.json'), 'utf8'))).toEqual(JSON.parse(JSON.stringify(facts)));
    const env = readFileSync(join(work, 'env.txt'), 'utf8');
    const names = env.split('\n').map((line) => line.split('=')[0]);
    expect(names.filter((name) => name && !['PWD', 'SHLVL', '_', 'OLDPWD'].includes(name)).toSorted()).toEqual([
      'HOME',
      'NIGHTSHIFT_HOOK',
      'NIGHTSHIFT_NODE',
      'NIGHTSHIFT_RUN_ID',
      'NIGHTSHIFT_TASK_ID',
      'PATH',
    ]);
    expect(env).toContain(`NIGHTSHIFT_RUN_ID=${runId}\n`);
  });

  test('that a machine out of descriptors cannot start has not been asked', () => {
    const module = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
    const script = `
      import { openSync } from 'node:fs';
      import { systemClock } from ${module('../../platform/clock.ts')};
      import { commandHook } from ${module('./command.ts')};
      import { createHooks } from ${module('./registry.ts')};
      const hooks = createHooks(systemClock);
      hooks.register(commandHook({ id: 'it', on: 'pre-run', timeoutMs: 60_000, argv: ['true'] }, { clock: systemClock, directory: '/', env: {} }));
      try { for (;;) openSync('/dev/null'); } catch {}
      const facts = { point: 'pre-run', task: { id: 'tsk_1' }, run: { id: 'run_1' }, workspace: null };
      console.log(JSON.stringify(await hooks.fire(facts, async () => undefined, new AbortController().signal)));`;
    const argv = ['-c', 'ulimit -n 64; exec "$0" "$@"', process.execPath, '--input-type=module', '-e', script];
    expect(JSON.parse(execFileSync('sh', argv, { encoding: 'utf8' }))).toMatchObject({ id: 'it', verdict: 'failed', asked: false });
  });

  test('goes on with 0, and with any other code refuses with the end of what it said', async () => {
    expect(await verdictOf(command(['true']))).toMatchObject({ verdict: 'passed' });
    expect(await verdictOf(command(['false']))).toMatchObject({ verdict: 'refused', message: 'false exited with 1.' });
    const { verdict, message } = await verdictOf(sh('yes noise | head -n 20000 >&2; echo "not on a Friday" >&2; exit 3'));
    expect({ verdict, message }).toEqual({ verdict: 'refused', message: expect.stringMatching(/noise not on a Friday$/) });
    expect(message?.length).toBeLessThan(2_000);
    expect(await verdictOf(sh('exit 3', 'post-run'))).toMatchObject({ verdict: 'failed', message: 'sh exited with 3.' });
  });

  test('may answer on its output, alone or in the last line; other output is only talk', async () => {
    expect(await verdictOf(sh('printf \'{\\n "allow": false,\\n "reason": "no tests"\\n}\''))).toMatchObject({
      verdict: 'refused',
      message: 'no tests',
    });
    expect(await verdictOf(sh('echo looking; echo \'{"allow": false, "reason": "no tests"}\''))).toMatchObject({
      verdict: 'refused',
      message: 'no tests',
    });
    expect(await verdictOf(sh('echo \'{"allow": true}\''))).toMatchObject({ verdict: 'passed' });
    expect(await verdictOf(sh('echo \'{"allow": true}\'; exit 1'))).toMatchObject({ verdict: 'refused' });
    expect(await verdictOf(sh('echo \'{"allow": "maybe"}\''))).toMatchObject({ verdict: 'failed' });
    for (const talk of ['{"allowed": false}', '{', 'null', '[]', 'false', 'ok']) {
      expect(await verdictOf(command(['echo', talk])), talk).toMatchObject({ verdict: 'passed' });
    }
  });

  test('that cannot be started, or is killed, has failed', async () => {
    expect(await verdictOf(command(['no-such-program']))).toMatchObject({
      verdict: 'failed',
      message: expect.stringContaining('no-such-program could not be started'),
    });
    expect(await verdictOf(sh('kill -SEGV $$'))).toMatchObject({ verdict: 'failed', message: 'sh was killed by SIGSEGV.' });
    rmSync(work, { recursive: true });
    expect(await verdictOf(command(['true']))).toMatchObject({ verdict: 'failed' });
  });

  test('may ignore its input, and may flood its output', async () => {
    expect(await verdictOf(sh('exec <&-; exit 0'))).toMatchObject({ verdict: 'passed' });
    expect(await verdictOf(sh('yes | head -c 20000000; yes | head -c 20000000 >&2'))).toMatchObject({ verdict: 'passed' });
  });

  test('leaves no daemon behind, whether it holds the outputs open or not; other processes of the run stay', async () => {
    const neighbour = start();
    for (const redirected of ['', '>/dev/null 2>&1']) {
      expect(await verdictOf(sh(`setsid --fork sleep 600 ${redirected}; exit 0`))).toMatchObject({ verdict: 'passed' });
      expect(alive()).toEqual([neighbour.pid]);
    }
    await neighbour.end();
  });

  test('goes on when all that the agent left behind is ended', async () => {
    const left = start();
    const heard = verdictOf(sh('echo > begun; while [ ! -e go-on ]; do sleep 0.02; done'));
    await until('it to be at work', () => existsSync(join(work, 'begun')));
    await sweepRun(runId);
    expect(alive()).not.toContain(left.pid);
    writeFileSync(join(work, 'go-on'), '');
    expect(await heard).toMatchObject({ verdict: 'passed' });
  });

  test('that never ends is stopped after its time with all that it started', async () => {
    expect(await verdictOf(sh('trap "" TERM; setsid sleep 600 & while :; do sleep 600; done', 'error', 1))).toMatchObject({
      verdict: 'timed-out',
      message: 'It took longer than 1 s and was stopped.',
    });
    await until('all to be gone', () => alive().length === 0);
  });

  test('is stopped with its run', async () => {
    const stop = new AbortController();
    const heard = verdictOf(sh('trap "" TERM; setsid sleep 600 & echo > begun; while :; do sleep 600; done'), stop.signal);
    await until('it to be at work', () => existsSync(join(work, 'begun')));
    stop.abort();
    expect(await heard).toMatchObject({ verdict: 'failed', message: 'It was stopped with its run.' });
    await until('all to be gone', () => alive().length === 0);
  });
});

describe('a module', () => {
  test('is asked by its default export, and may answer later', async () => {
    for (const [answer, verdict] of [
      ['undefined', 'passed'],
      ['true', 'passed'],
      ['{ allow: true }', 'passed'],
      ['false', 'refused'],
      ['{ allow: false, reason: "not " + facts.task.title }', 'refused'],
      ['"yes"', 'failed'],
      ['null', 'failed'],
      ['{ allowed: true }', 'failed'],
    ] as const) {
      const text = `export default async (facts) => { await new Promise((go) => setImmediate(go)); return ${answer}; };`;
      const heard = await verdictOf(module(text));
      expect(heard, answer).toMatchObject({ verdict });
      if (answer.includes('reason')) expect(heard.message).toBe('not Grüße');
    }
  });

  test('may print, leave timers behind, and be TypeScript', async () => {
    const text = `export default ({ task }: { task: { title: string } }): boolean => {
      console.log('{"allow": true}'); process.stdout.write('talk'); console.error('more');
      setInterval(() => undefined, 1_000);
      return task.title === 'something else';
    };`;
    expect(await verdictOf(module(text, 60, 'hook.ts'))).toMatchObject({ verdict: 'refused' });
  });

  test('that throws, is no module, or ends the process has failed', async () => {
    for (const [text, message] of [
      ['export default () => { throw new Error("out of ideas"); };', 'out of ideas'],
      ['throw new Error("at once");', 'at once'],
      ['export const hook = 1;', /no function as its default export/],
      ['export default (', /./],
      ['export default () => process.exit(0);', /ended without an answer/],
      ['export default () => process.kill(process.pid, "SIGKILL");', /was killed by SIGKILL/],
      ['export default () => new Promise(() => undefined);', /ended without an answer/],
    ] as const) {
      const heard = await verdictOf(module(text));
      expect(heard, text).toMatchObject({ verdict: 'failed', message: expect.stringMatching(message) });
    }
  });

  test('that loops for ever is stopped after its time and holds nothing up', async () => {
    const heard = verdictOf(module('export default () => { for (;;); };', 1));
    await until('it to be at work', () => alive().length > 0);
    expect(await heard).toMatchObject({ verdict: 'timed-out' });
    await until('it to be gone', () => alive().length === 0);
  });
});

describe('at the start', () => {
  test('a module or a program that is not there is refused with its path', () => {
    const gone = join(root, 'gone.mjs');
    const bad = (hook: { module: string } | { command: readonly string[] }): unknown => {
      try {
        return configuredHooks([{ id: 'gate', on: 'error', timeoutSeconds: 1, ...hook }], parts());
      } catch (error) {
        return error;
      }
    };
    writeFileSync(join(root, 'plain.txt'), '', { mode: 0o644 });
    for (const error of [
      bad({ module: gone }),
      bad({ command: [gone] }),
      bad({ module: root }),
      bad({ command: [join(root, 'plain.txt')] }),
    ]) {
      expect(error).toBeInstanceOf(Unusable);
      expect(error).toMatchObject({
        code: 'bad-hook',
        message: expect.stringMatching(/^The hook gate cannot be used: \/.*nightshift\.yaml\.$/),
      });
    }
  });
});

/** Something else that belongs to the run. */
function start(): { readonly pid: number; end(): Promise<void> } {
  const child = spawn('sleep', ['600'], { env: { PATH: process.env['PATH'], NIGHTSHIFT_RUN_ID: runId }, stdio: 'ignore' });
  return {
    pid: child.pid as number,
    async end() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
