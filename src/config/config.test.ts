import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { temporaryHome } from '../../test/support/stores.ts';
import { Unusable } from '../domain/errors.ts';
import { type ConfigInputs, describeConfig, loadConfig } from './config.ts';
import { type Setting, type SettingKey, settings } from './settings.ts';

let root: string;
let home: string;
let cwd: string;

beforeEach(() => {
  root = temporaryHome();
  home = join(root, 'home');
  cwd = join(root, 'work');
  mkdirSync(home);
  mkdirSync(cwd);
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const load = (inputs: Partial<ConfigInputs> = {}): ReturnType<typeof loadConfig> =>
  loadConfig({ env: { NIGHTSHIFT_HOME: home }, flags: {}, cwd, ...inputs });
const homeYaml = (text: string): void => writeFileSync(join(home, 'nightshift.yaml'), text);
const hereYaml = (text: string): void => writeFileSync(join(cwd, 'nightshift.yaml'), text);

function refusal(inputs: Partial<ConfigInputs> = {}): Unusable {
  try {
    load(inputs);
  } catch (error) {
    expect(error).toBeInstanceOf(Unusable);
    return error as Unusable;
  }
  throw new Error('it was accepted');
}

describe('settings', () => {
  test('have defaults that work without any', () => {
    const { config, origins } = loadConfig({ env: {}, flags: {}, cwd });
    expect(config).toMatchObject({ home: join(homedir(), '.nightshift'), host: '127.0.0.1', port: 8080, logLevel: 'info' });
    expect(config.maxConcurrentRuns).toBeGreaterThanOrEqual(2);
    expect(config.databaseUrl).toBeUndefined();
    expect(origins).toMatchObject({ port: 'default', token: 'not set' });
  });

  test('come from flags before environment before the working directory before the home before defaults', () => {
    homeYaml('port: 1001\nhost: home.example\nlogLevel: debug\ndrainSeconds: 1\n');
    hereYaml('port: 1002\nhost: here.example\nlogLevel: warn\n');
    const env = { NIGHTSHIFT_HOME: home, PORT: '1003', HOST: 'env.example' };
    const { config, origins } = load({ env, flags: { port: '1004' } });
    expect(config).toMatchObject({ port: 1004, host: 'env.example', logLevel: 'warn', drainSeconds: 1, leaseSeconds: 30 });
    expect(origins).toMatchObject({
      port: 'flag --port',
      host: 'env HOST',
      logLevel: join(cwd, 'nightshift.yaml'),
      drainSeconds: join(home, 'nightshift.yaml'),
      leaseSeconds: 'default',
      home: 'env NIGHTSHIFT_HOME',
    });
  });

  test('of the home are found through whatever names the home', () => {
    homeYaml('port: 1001\n');
    expect(loadConfig({ env: {}, flags: { home }, cwd }).config.port).toBe(1001);
    hereYaml('home: ../home\n');
    const { config, origins } = loadConfig({ env: {}, flags: {}, cwd });
    expect(config).toMatchObject({ port: 1001, home });
    expect(origins.home).toBe(join(cwd, 'nightshift.yaml'));
  });

  test('are read once when the home is the working directory', () => {
    homeYaml('port: 1001\n');
    expect(load({ cwd: home }).config.port).toBe(1001);
  });

  test('cannot move the home from within', () => {
    homeYaml(`home: ${root}\n`);
    expect(refusal().message).toContain(join(home, 'nightshift.yaml'));
    homeYaml(`home: ${home}\n`);
    expect(load()).toMatchObject({ config: { home }, origins: { home: 'env NIGHTSHIFT_HOME' } });
  });

  test('that are empty in the environment count as absent', () => {
    homeYaml('port: 1001\n');
    const { config } = load({ env: { NIGHTSHIFT_HOME: home, PORT: '', DATABASE_URL: '', NIGHTSHIFT_TOKEN: '', LLM_API_KEY: '' } });
    expect(config).toMatchObject({ port: 1001, databaseUrl: undefined, token: undefined, llmApiKey: undefined });
  });

  test('that are empty in a file count as absent', () => {
    homeYaml('port:\nhost: ~\n');
    expect(load().config).toMatchObject({ port: 8080, host: '127.0.0.1' });
    homeYaml('');
    expect(load().config.port).toBe(8080);
    homeYaml('# nothing but a comment\n');
    expect(load().config.port).toBe(8080);
  });

  test('take a home with a tilde, and a relative one from the working directory', () => {
    expect(loadConfig({ env: { NIGHTSHIFT_HOME: '~/somewhere' }, flags: {}, cwd }).config.home).toBe(join(homedir(), 'somewhere'));
    expect(loadConfig({ env: { NIGHTSHIFT_HOME: 'data' }, flags: {}, cwd }).config.home).toBe(join(cwd, 'data'));
  });

  test('cannot be changed afterwards', () => {
    const { config } = load();
    expect(() => Object.assign(config, { port: 1 })).toThrow(TypeError);
  });
});

test('every setting has its line in docs/settings.md', () => {
  const page = readFileSync(new URL('../../docs/settings.md', import.meta.url), 'utf8');
  const names = Object.entries<Setting>(settings).flatMap(([key, { env }]) => (env === undefined ? [key] : [key, env]));
  expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});

describe('a mistake', () => {
  test('in a key is named, with the one that was probably meant and all there are', () => {
    homeYaml('max_concurrent_runs: 3\n');
    const { code, message } = refusal();
    expect(code).toBe('unknown-setting');
    expect(message).toContain(`${join(home, 'nightshift.yaml')}: unknown key "max_concurrent_runs" (did you mean maxConcurrentRuns?)`);
    for (const key of Object.keys(settings)) expect(message).toContain(key);
    homeYaml('LLM_MODEL: x\n');
    expect(refusal().message).toContain('did you mean llmModel?');
    homeYaml('wibble: x\n');
    expect(refusal().message).not.toContain('did you mean');
  });

  test('in a value is answered with key, value, origin and what is allowed', () => {
    expect(refusal({ env: { NIGHTSHIFT_HOME: home, PORT: '99999' } })).toMatchObject({
      code: 'bad-setting',
      message: 'port (PORT) cannot be "99999" (from env PORT). Allowed: a port from 0 to 65535 (0 picks a free one).',
    });
    expect(refusal({ flags: { logLevel: 'loud' } }).message).toMatch(
      /^logLevel \(LOG_LEVEL\) cannot be "loud" \(from flag --log-level\)\. Allowed: fatal/,
    );
    homeYaml('maxConcurrentRuns: many\n');
    expect(refusal().message).toContain(`"many" (from ${join(home, 'nightshift.yaml')})`);
  });

  test('is seen in every value that is not what it should be', () => {
    const bad: readonly (readonly [SettingKey, readonly string[]])[] = [
      ['port', ['-1', '65536', '1.5', 'x', ' ', '0x50', '1e3', '8080 ']],
      ['maxConcurrentRuns', ['0', '1001', 'two']],
      ['runTimeoutSeconds', ['0', '86401']],
      ['drainSeconds', ['-1', '86401']],
      ['leaseSeconds', ['0', '3601']],
      ['databaseUrl', ['mysql://x', 'localhost', 'postgres']],
      ['token', ['short', 'with spaces in between them', 'with-umläuts-in-between']],
      ['engine', ['Command', 'a b', '']],
      ['llmBaseUrl', ['ftp://x', 'example.com']],
      ['llmProvider', ['Open AI']],
      ['home', ['']],
    ];
    for (const [key, values] of bad) {
      for (const value of values) {
        expect(refusal({ flags: { [key]: value } }).message, `${key}=${value}`).toMatch(new RegExp(`^${key} \\(.*Allowed: `));
      }
    }
  });

  test('of type in a file is one as well', () => {
    for (const line of [
      'port: true',
      'port: [80]',
      'port: {}',
      'host: 7',
      'maxConcurrentRuns: "3 or 4"',
      'logLevel: 1',
      'drainSeconds: 1.5',
    ]) {
      homeYaml(`${line}\n`);
      expect(refusal().code, line).toBe('bad-setting');
    }
  });

  test('in a secret does not show the secret', () => {
    const secret = 'too many words to be a token';
    expect(refusal({ env: { NIGHTSHIFT_HOME: home, NIGHTSHIFT_TOKEN: secret } }).message).not.toContain(secret);
    expect(refusal({ env: { NIGHTSHIFT_HOME: home, DATABASE_URL: 'mysql://u:hunter2@h/d' } }).message).not.toContain('hunter2');
  });

  test('in a file is named with the file, whatever it is', () => {
    const file = join(home, 'nightshift.yaml');
    for (const text of [
      'port: [1',
      'port: 1\nport: 2\n',
      '- port\n',
      'just text',
      '\tport: 1',
      'a: &a [*b]\n',
      bomb(),
      'port: 1\n---\nport: 2\n',
    ]) {
      homeYaml(text);
      expect(refusal(), text.slice(0, 40)).toMatchObject({ message: expect.stringContaining(file) });
    }
    rmSync(file);
    mkdirSync(file);
    expect(refusal()).toMatchObject({ code: 'bad-config', message: expect.stringContaining(file) });
  });
});

describe('findings', () => {
  test('wait for a person and are few, unless somebody says otherwise; what is not said stays', () => {
    expect(load().config.findings).toEqual({ tasks: 'approve', review: true, perRun: 3, perDay: 20, depth: 2 });
    homeYaml('findings: { tasks: run, perDay: 5 }\n');
    expect(load().config.findings).toEqual({ tasks: 'run', review: true, perRun: 3, perDay: 5, depth: 2 });
    homeYaml('findings: { tasks: always }\n');
    expect(() => load()).toThrow(/findings/);
  });
});

describe('hooks', () => {
  test('before a tool get less time, and may be about some tools alone', () => {
    homeYaml('hooks: [{ on: pre-tool, command: x, tools: [Bash], required: true }, { on: tool-complete, command: x, wait: true }]\n');
    expect(load().config.hooks).toEqual([
      { id: 'pre-tool-1', on: 'pre-tool', timeoutSeconds: 10, tools: ['Bash'], required: true, command: ['x'] },
      { id: 'tool-complete-2', on: 'tool-complete', timeoutSeconds: 30, wait: true, command: ['x'] },
    ]);
  });

  test('have an id and a time-out of their own, and paths as seen from the file that they stand in', () => {
    homeYaml('hooks: [{ on: error, command: [never, read] }]\n');
    hereYaml(`hooks:
  - { on: pre-run, command: 'hooks/gate --strict "a b" ./c' }
  - { on: post-run, module: ../after.mjs, timeoutSeconds: 5, id: after }
  - { on: error, command: [notify-send, ./x] }
  - { on: error, command: /usr/bin/true }
  - { on: error, module: ~/mine.mjs }
`);
    expect(load().config.hooks).toEqual([
      { id: 'pre-run-1', on: 'pre-run', timeoutSeconds: 30, command: [join(cwd, 'hooks/gate'), '--strict', 'a b', './c'] },
      { id: 'after', on: 'post-run', timeoutSeconds: 5, module: join(root, 'after.mjs') },
      { id: 'error-3', on: 'error', timeoutSeconds: 30, command: ['notify-send', './x'] },
      { id: 'error-4', on: 'error', timeoutSeconds: 30, command: ['/usr/bin/true'] },
      { id: 'error-5', on: 'error', timeoutSeconds: 30, module: join(homedir(), 'mine.mjs') },
    ]);
    rmSync(join(cwd, 'nightshift.yaml'));
    homeYaml('hooks: [{ on: error, module: hook.mjs }]\n');
    expect(load().config.hooks).toMatchObject([{ module: join(home, 'hook.mjs') }]);
    homeYaml('hooks:\n');
    expect(load().config.hooks).toEqual([]);
  });

  test('with a mistake are refused with the way to it', () => {
    const bad: readonly (readonly [string, string])[] = [
      ['hooks: true', 'hooks: '],
      ['hooks: { on: error, command: x }', 'hooks: '],
      ['hooks: [x]', 'hooks[0]: '],
      ['hooks: [{ on: error, command: x, comand: y }]', 'hooks[0]: Unrecognized key: "comand"'],
      ['hooks: [{ on: error, command: x }, { on: never, command: x }]', 'hooks[1].on: must be one of pre-run, post-run, error'],
      ['hooks: [{ command: x }]', 'hooks[0].on: must be one of'],
      ['hooks: [{ on: error, command: x, tools: [Bash] }]', 'hooks[0]: has tools, which say nothing at error'],
      ['hooks: [{ on: tool-complete, command: x, required: true }]', 'hooks[0]: has required, which says nothing at tool-complete'],
      ['hooks: [{ on: pre-tool, command: x, wait: true }]', 'hooks[0]: has wait, which says nothing at pre-tool'],
      ['hooks: [{ on: pre-tool, command: x, tools: [] }]', 'hooks[0].tools: '],
      ['hooks: [{ on: error }]', 'hooks[0]: must have either a command or a module'],
      ['hooks: [{ on: error, command: x, module: y }]', 'hooks[0]: must have either'],
      ["hooks: [{ on: error, command: 'a \"b' }]", 'hooks[0].command: must be a command line with closed quotes'],
      ['hooks: [{ on: error, command: [] }]', 'hooks[0].command: must be'],
      ['hooks: [{ on: error, command: [ls, 1] }]', 'hooks[0].command: must be a command line or a list of arguments'],
      ["hooks: [{ on: error, module: '' }]", 'hooks[0].module: '],
      ['hooks: [{ on: error, command: x, timeoutSeconds: 0 }]', 'hooks[0].timeoutSeconds: '],
      ['hooks: [{ on: error, command: x, id: A b }]', 'hooks[0].id: '],
      ['hooks: [{ on: error, command: x, id: a }, { on: pre-run, command: y, id: a }]', 'hooks[1].id: "a" is the id of another hook'],
      ['hooks: [{ on: error, command: x, id: error-2 }, { on: error, command: y }]', 'hooks[1].id: "error-2" is the id'],
    ];
    for (const [yaml, message] of bad) {
      homeYaml(`${yaml}\n`);
      expect(refusal(), yaml).toMatchObject({
        code: 'bad-setting',
        message: expect.stringContaining(`${join(home, 'nightshift.yaml')}: ${message}`),
      });
    }
  });
});

describe('what is shown', () => {
  test('has each value with its origin, and no secret', () => {
    const env = {
      NIGHTSHIFT_HOME: home,
      NIGHTSHIFT_TOKEN: 'the-owners-own-key-0123',
      LLM_API_KEY: 'sk-the-model-key',
      DATABASE_URL: 'postgres://me:hunter2@db.example/nightshift',
    };
    const { config, origins } = load({ env });
    const shown = describeConfig(config, origins);
    expect(shown.map(({ key }) => key)).toEqual(Object.keys(settings));
    const of = (key: SettingKey) => shown.find((each) => each.key === key);
    expect(of('port')).toEqual({ key: 'port', value: '8080', origin: 'default', env: 'PORT' });
    expect(of('databaseUrl')?.value).toBe('postgres://me:***@db.example/nightshift');
    expect(of('token')?.value).toBe('********');
    expect(of('llmModel')).toMatchObject({ value: '', origin: 'not set' });
    for (const secret of ['the-owners-own-key-0123', 'sk-the-model-key', 'hunter2']) expect(JSON.stringify(shown)).not.toContain(secret);
  });
});

/** Nine lines that would become a billion. */
const bomb = (): string =>
  `a0: &a0 [x]\n${Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(',')}]`).join('\n')}\n`;

describe('settings with a structure', () => {
  test('stand in nightshift.yaml', () => {
    homeYaml(`schedules:
  - name: nightly
    cron: "0 3 * * *"
    timezone: Europe/Berlin
    task: { title: Update the dependencies, verify: npm test }
`);
    expect(load().config.schedules).toEqual([
      {
        name: 'nightly',
        cron: '0 3 * * *',
        timezone: 'Europe/Berlin',
        catchUp: 'one',
        task: { title: 'Update the dependencies', priority: 'low', verify: ['npm', 'test'] },
      },
    ]);
  });

  test.each([
    ['schedules: nightly', 'schedules: Invalid input'],
    [
      'webhooks: [{name: a, secret: 12345678x, signature: standard-webhooks, task: {title: x}}]',
      'webhooks[0].secret: must be whsec_ and 24 to 64 bytes in base64, as the service shows it',
    ],
    [
      'webhooks: [{name: a, secret: 12345678x, task: {title: x, engine: command, body: "{{run}}"}}]',
      'webhooks[0].task.body: has {{…}}, so what is posted would be run as a command',
    ],
    [
      'webhooks: [{name: a, secret: 12345678x, trust: known, task: {title: x, repository: "https://{{host}}/x"}}]',
      'webhooks[0].task.repository: has {{…}}, so what is posted could name any repository',
    ],
    [
      'webhooks: [{name: a, secret: 12345678x, trust: owner, task: {title: x, repository: "{{path}}"}}]',
      'webhooks[0].task.repository: has {{…}}, so what is posted could name a directory of this machine',
    ],
    ['schedules: [{name: a, cron: "0 3 * * *", task: {}}]', 'schedules[0].task.title'],
    ['schedules: [{name: a, cron: "61 * * * *", task: {title: x}}]', 'schedules[0].cron: "61 * * * *" is no use'],
    ['schedules: [{name: a, cron: "0 3 * * *", when: now, task: {title: x}}]', 'Unrecognized key: "when"'],
    [
      'schedules: [{name: a, cron: "0 3 * * *", task: {title: x}}, {name: a, cron: "0 4 * * *", task: {title: x}}]',
      'schedules: two have the same name',
    ],
  ])('are refused with the way to what is wrong: %s', (yaml, message) => {
    homeYaml(yaml);
    expect(refusal()).toMatchObject({ code: 'bad-setting', message: expect.stringContaining(join(home, 'nightshift.yaml')) });
    expect(refusal().message).toContain(message);
  });
});
