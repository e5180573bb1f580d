import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

/**
 * Imports run one way: a folder may use itself, the base (`domain`, `platform`) and what is named here.
 * The reason stands in ARCHITECTURE.md; a new arrow is a decision, not a convenience.
 */
const base = ['domain', 'platform'];
const allowed: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  platform: [],
  store: base,
  sandbox: base,
  queue: [...base, 'store'],
  workspace: [...base, 'store'],
  gateway: [...base, 'store'],
  gates: [...base, 'workspace'],
  // What is remembered and found again; what it needs of models is passed to it.
  knowledge: [...base, 'store'],
  runner: [...base, 'store', 'queue', 'workspace', 'sandbox', 'gateway', 'gates', 'knowledge'],
  demo: [...base, 'store', 'queue', 'workspace'],
  // Browsers, told through the outbox.
  push: [...base, 'store', 'outbox'],
  // Where work comes from.
  sources: [...base, 'store', 'queue', 'inbox', 'outbox'],
  // How the owner is told.
  channels: [...base, 'outbox'],
  // What arrives and what leaves: neither knows the other, nor who is outside.
  inbox: [...base, 'store', 'queue'],
  outbox: [...base, 'store'],
  backup: [...base, 'store'],
  health: [...base, 'store'],
  tracing: [...base, 'store', 'outbox'],
  // Looks after the whole, and tells people through the outbox.
  alerts: [...base, 'store', 'outbox'],
  // One service outside, in both directions: what it sends and what it is told have their words in common.
  github: [...base, 'store', 'queue', 'inbox', 'outbox'],
  // Tools over the API: they reach nothing but it.
  mcp: base,
  server: [...base, 'store', 'queue', 'inbox', 'outbox', 'mcp', 'knowledge'],
  // What looks after the server itself, wired.
  oversight: [...base, 'store', 'outbox', 'gateway', 'alerts', 'backup', 'health', 'server', 'config'],
  // Who is outside, who does the work, and what is seen of the server: each wired in one place.
  outside: [...base, 'store', 'queue', 'inbox', 'outbox', 'sources', 'channels', 'github', 'push', 'workspace', 'config'],
  agents: [...base, 'queue', 'gateway', 'runner', 'config'],
  // What can be said where no server is up.
  examine: [...base, 'channels', 'gateway', 'health', 'config'],
  front: [...base, 'store', 'runner', 'server', 'outside', 'agents', 'oversight', 'config'],
  config: base,
  home: base,
  // The command line is a client of the API; only `up` may start what it otherwise talks to.
  cli: [...base, 'config', 'home', 'main', 'mcp'],
  main: [
    ...base,
    ...[
      'store',
      'queue',
      'sources',
      'inbox',
      'outbox',
      'backup',
      'tracing',
      'oversight',
      'outside',
      'agents',
      'examine',
      'front',
      'workspace',
      'sandbox',
      'gateway',
      'knowledge',
      'runner',
      'demo',
      'server',
      'config',
      'home',
    ],
  ],
};

/** Started as processes of their own. */
const programs = ['backup/snapshot-thread.ts', 'store/damage-thread.ts', 'runner/hooks/module-host.ts'];

const root = join(dirname(fileURLToPath(import.meta.url)), '..', 'src');
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));

const layerOf = (file: string): string => (file.split('/')[0] as string).replace(/\.ts$/, '');

function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g);
  return [...found].map(([, path]) => relative(root, join(root, dirname(file), path as string))).filter((path) => path.endsWith('.ts'));
}

const graph = new Map(files.map((file) => [file, importsOf(file)]));

describe('the layers of the house', () => {
  test('are all known', () => {
    expect([...new Set(files.map(layerOf))].filter((layer) => !(layer in allowed))).toEqual([]);
  });

  test('import one way only', () => {
    const wrong = [...graph].flatMap(([file, imports]) =>
      imports
        .filter((path) => layerOf(path) !== layerOf(file) && !allowed[layerOf(file)]?.includes(layerOf(path)))
        .map((path) => `${file} must not import ${path}`),
    );
    expect(wrong).toEqual([]);
  });

  test('hold no cycle, not even between two files', () => {
    expect(cycles()).toEqual([]);
  });

  test('keep the domain free of input and output', () => {
    const impure = files
      .filter((file) => layerOf(file) === 'domain')
      .filter((file) => /from 'node:|process\.|Date\.now|Math\.random/.test(readFileSync(join(root, file), 'utf8')));
    expect(impure).toEqual([]);
  });

  test('exit the process and read its environment only at the edge', () => {
    const elsewhere = files
      .filter((file) => !['cli', 'main'].includes(layerOf(file)) && !programs.includes(file))
      .filter((file) => /process\.(exit|env)\b/.test(readFileSync(join(root, file), 'utf8')));
    expect(elsewhere).toEqual([]);
  });
});

describe('the dashboard', () => {
  const web = join(root, '..', 'web', 'src');
  const sources = readdirSync(web, { recursive: true, encoding: 'utf8' }).filter((file) => /\.tsx?$/.test(file));

  test('takes nothing from the server but the types of what it says', () => {
    const outside = sources.flatMap((file) =>
      [...readFileSync(join(web, file), 'utf8').matchAll(/^(import|export)( type)?[^;]*?from\s+'([^']+)';/gms)]
        .map(([, , type, from = '']) => ({ file, type, from: from.startsWith('.') ? relative(web, join(web, dirname(file), from)) : from }))
        .filter(({ from }) => from.startsWith('..') || from.startsWith('node:')),
    );
    expect(outside.length).toBeGreaterThan(0);
    expect(outside.filter(({ file, type, from }) => !type || from !== '../../src/server/views.ts' || file !== 'data/views.ts')).toEqual([]);
  });

  test('never turns text into markup', () => {
    const dangerous = /dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcDoc/;
    expect(sources.filter((file) => dangerous.test(readFileSync(join(web, file), 'utf8')))).toEqual([]);
  });
});

/** Type imports vanish when the program runs, but a cycle of them is as hard to read as any other. */
function cycles(): readonly string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) {
      found.push([...path.slice(at), file].join(' → '));
      return;
    }
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}
