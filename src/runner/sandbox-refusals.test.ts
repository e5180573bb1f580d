import { describe, expect, test } from 'vitest';
import type { EngineEvent } from './engines/engine.ts';
import { sandboxRefusals } from './sandbox-refusals.ts';

interface Use {
  readonly tool?: string;
  readonly input: object;
  readonly output: string;
  readonly failed?: boolean;
}

const watched = () => {
  const refusals = sandboxRefusals({ writable: ['/srv/tree', '/home/agent', '/tmp'], refusedHosts: new Set(['evil.example']) });
  let calls = 0;
  return ({ tool = 'Bash', input, output, failed = true }: Use) => {
    const call = `call-${++calls}`;
    const started: EngineEvent = { type: 'run.tool-started', data: { call, tool, input } };
    const finished: EngineEvent = {
      type: 'run.tool-finished',
      data: { call, tool, failed, output, outputSize: output.length, durationMs: 1 },
    };
    return [refusals.see(started), refusals.see(finished)].flatMap((seen) => (seen && !seen.again ? seen.denied.data : []));
  };
};

const bash = (command: string, output: string): Use => ({ input: { command }, output: `Exit code 1\n${output}` });

describe('what the sandbox refused', () => {
  test.each<readonly [string, Use, string]>([
    ['a program that writes', bash('touch /usr/x', "touch: cannot touch '/usr/x': Read-only file system"), '/usr/x'],
    ['the shell', bash('echo hi > /etc/x', '/bin/bash: line 1: /etc/x: Read-only file system'), '/etc/x'],
    ['a package manager', bash('npm install -g x', 'npm error code EROFS\nnpm error path /usr/lib/node_modules/x'), 'npm error code EROFS'],
    ['a right that there is not', bash('unshare -r true', 'unshare: unshare failed: Operation not permitted'), 'unshare: unshare failed'],
    ['a file of somebody else', bash('cat /etc/shadow', 'cat: /etc/shadow: Permission denied'), '/etc/shadow'],
    ['a download', bash('curl -sS https://acme.example/x', 'curl: (6) Could not resolve host: acme.example'), 'acme.example'],
    [
      'a clone',
      bash(
        'git clone https://acme.example/x',
        "Cloning into 'x'...\nfatal: unable to access 'https://acme.example/x/': Could not resolve host: acme.example",
      ),
      'acme.example',
    ],
    [
      'packages',
      bash('npm install', 'npm error request to http://acme.example/x failed, reason: getaddrinfo EAI_AGAIN acme.example'),
      'acme.example',
    ],
    [
      'a host that is not on the list',
      bash('curl https://evil.example/', 'curl: (56) CONNECT tunnel failed, response 403'),
      'evil.example',
    ],
    [
      'the tool that writes files',
      { tool: 'Write', input: { file_path: '/usr/x' }, output: "EROFS: read-only file system, open '/usr/x.tmp.1'" },
      '/usr/x',
    ],
    [
      'the tool that reads the web',
      { tool: 'WebFetch', input: { url: 'https://acme.example' }, output: 'Unable to verify if domain acme.example is safe to fetch.' },
      'acme.example',
    ],
  ])('by %s', (_, use, target) => {
    const [denied, ...more] = watched()(use);
    expect(more).toEqual([]);
    expect(denied).toMatchObject({ tool: use.tool ?? 'Bash', by: 'the sandbox', reason: expect.any(String) });
    expect(denied?.target).toContain(target);
  });

  test.each<readonly [string, Use]>([
    ['a test that prints such an error', bash('npm test', "Error: EACCES: permission denied, open '/etc/shadow'\n    at test.js:1")],
    ['a program that a script starts', bash('sh test.sh', "touch: cannot touch '/usr/x': Read-only file system")],
    [
      'a suite that counted its tests',
      bash('touch /usr/x; node --test', "touch: cannot touch '/usr/x': Read-only file system\n# pass 3\n# fail 1"),
    ],
    ['a script without the right to be run', bash('./run.sh', '/bin/bash: line 1: ./run.sh: Permission denied')],
    ['a file of its own', bash('cat /srv/tree/locked', 'cat: /srv/tree/locked: Permission denied')],
    ['owners that an archive names', bash('tar xf x.tar', 'tar: /x: Cannot change ownership to uid 1: Operation not permitted')],
    ['nobody listens', bash('curl http://127.0.0.1:9', "curl: (7) Failed to connect to 127.0.0.1 port 9: Couldn't connect to server")],
    ['what is no failure', { ...bash('touch /usr/x || true', "touch: cannot touch '/usr/x': Read-only file system"), failed: false }],
    [
      'a file of its own that it may not write',
      { tool: 'Write', input: { file_path: '/srv/tree/x' }, output: 'EACCES: permission denied' },
    ],
    ['a file that is not there', { tool: 'Read', input: { file_path: '/nowhere' }, output: 'File does not exist.' }],
  ])('is not: %s', (_, use) => {
    expect(watched()(use)).toEqual([]);
  });

  test('counts once, however often it is tried, until the next round', () => {
    const see = watched();
    const use = bash('touch /usr/x', "touch: cannot touch '/usr/x': Read-only file system");
    expect(
      [see(use), see(use), see(bash('touch /usr/y', "touch: cannot touch '/usr/y': Read-only file system"))].map((each) => each.length),
    ).toEqual([1, 0, 1]);
    expect(watched()(use)).toHaveLength(1);
  });
});
