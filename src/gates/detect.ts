import type { GateKind } from '../domain/gate.ts';

/** A command that a repository is checked with by everybody who works on it. */
export interface DetectedGate {
  readonly id: 'build' | 'types' | 'lint' | 'tests';
  readonly kind: Extract<GateKind, 'build' | 'types' | 'lint' | 'tests'>;
  readonly argv: readonly string[];
}

type Read = (path: string) => Promise<string | undefined>;

/** Names of scripts and make targets that mean the same to most people, the usual one first. */
export const scriptNames = {
  build: ['build'],
  types: ['typecheck', 'type-check', 'types', 'check-types', 'check:types', 'tsc'],
  lint: ['lint'],
  tests: ['test'],
} as const;

type Id = DetectedGate['id'];
const ids = Object.keys(scriptNames) as Id[];

/**
 * What a tree says it is built, checked and tested with, by the files that everybody knows. The first kind of project that
 * has a command for a purpose decides: a package.json in a Python project is there for something.
 */
export async function detectGates(read: Read): Promise<readonly DetectedGate[]> {
  const found = new Map<Id, readonly string[]>();
  for (const commands of [await ofPackage(read), await ofOthers(read), await ofMakefile(read)]) {
    for (const [id, argv] of commands) if (!found.has(id)) found.set(id, argv);
  }
  return ids.flatMap((id) => {
    const argv = found.get(id);
    return argv ? [{ id, kind: id, argv }] : [];
  });
}

type Commands = readonly (readonly [Id, readonly string[]])[];

async function ofPackage(read: Read): Promise<Commands> {
  const manifest = parseManifest(await read('package.json'));
  if (!manifest) return [];
  const runner = await packageManager(read, manifest.packageManager);
  return ids.flatMap((id) => {
    const name = scriptNames[id].find((each) => isReal(manifest.scripts[each]));
    return name === undefined ? [] : [[id, runner(name)] as const];
  });
}

async function ofOthers(read: Read): Promise<Commands> {
  if ((await read('Cargo.toml')) !== undefined) {
    return [
      ['build', ['cargo', 'build', '--all-targets']],
      ['tests', ['cargo', 'test']],
    ];
  }
  if ((await read('go.mod')) !== undefined) {
    return [
      ['build', ['go', 'build', './...']],
      ['lint', ['go', 'vet', './...']],
      ['tests', ['go', 'test', './...']],
    ];
  }
  const python = await ofPython(read);
  if (python.length > 0) return python;
  if ((await read('pom.xml')) !== undefined) {
    const maven = (await read('mvnw')) === undefined ? 'mvn' : './mvnw';
    return [['tests', [maven, '--batch-mode', '--quiet', 'test']]];
  }
  if ((await read('build.gradle')) !== undefined || (await read('build.gradle.kts')) !== undefined) {
    const gradle = (await read('gradlew')) === undefined ? 'gradle' : './gradlew';
    return [['tests', [gradle, '--console=plain', '--no-daemon', 'test']]];
  }
  return [];
}

async function ofPython(read: Read): Promise<Commands> {
  const project = (await read('pyproject.toml')) ?? '';
  const settings = (await read('setup.cfg')) ?? '';
  const has = async (file: string, section: RegExp): Promise<boolean> =>
    section.test(project) || section.test(settings) || (await read(file)) !== undefined;
  const commands: [Id, readonly string[]][] = [];
  if (await has('mypy.ini', /^\[(?:tool\.)?mypy/m)) commands.push(['types', ['python3', '-m', 'mypy', '.']]);
  if (await has('ruff.toml', /^\[tool\.ruff/m)) commands.push(['lint', ['ruff', 'check', '.']]);
  if (await has('pytest.ini', /^\[tool[.:]pytest/m)) commands.push(['tests', ['python3', '-m', 'pytest']]);
  return commands;
}

async function ofMakefile(read: Read): Promise<Commands> {
  const makefile = (await read('Makefile')) ?? (await read('makefile'));
  if (makefile === undefined) return [];
  const targets = new Set([...makefile.matchAll(/^([\w.-]+)\s*:(?![=:])/gm)].map(([, name]) => name));
  return ids.flatMap((id) => {
    // "make types" and the like are rare, and what "make build" does is often much more than a check.
    const name = scriptNames[id].find((each) => targets.has(each));
    return name === undefined ? [] : [[id, ['make', name]] as const];
  });
}

interface Manifest {
  readonly scripts: Readonly<Record<string, unknown>>;
  readonly packageManager: string;
}

export function parseManifest(text: string | undefined): Manifest | undefined {
  if (text === undefined) return undefined;
  try {
    const { scripts, packageManager } = (JSON.parse(text) ?? {}) as { scripts?: unknown; packageManager?: unknown };
    return {
      scripts: typeof scripts === 'object' && scripts !== null ? (scripts as Record<string, unknown>) : {},
      packageManager: typeof packageManager === 'string' ? packageManager : '',
    };
  } catch {
    return { scripts: {}, packageManager: '' }; // a broken manifest has no scripts that could be run
  }
}

/** Something that could fail. What `npm init` writes, what only prints or does nothing, and what is green whatever came before, checks nothing. */
export const isReal = (script: unknown): script is string =>
  typeof script === 'string' &&
  !/^\s*(?:|true|:|exit 0|echo\b[^&|;]*(?:&&\s*exit\s+[01])?)\s*$/.test(script) &&
  !/(?:\|\||;)\s*(?:true|:|exit\s+0)\s*;?\s*$/.test(script) &&
  !/no test specified/.test(script);

async function packageManager(read: Read, named: string): Promise<(script: string) => readonly string[]> {
  const lock = async (...files: readonly string[]): Promise<boolean> => {
    for (const file of files) if ((await read(file)) !== undefined) return true;
    return false;
  };
  if (named.startsWith('pnpm@') || (await lock('pnpm-lock.yaml'))) return (script) => ['pnpm', 'run', '--silent', script];
  if (named.startsWith('yarn@') || (await lock('yarn.lock'))) return (script) => ['yarn', 'run', script];
  if (named.startsWith('bun@') || (await lock('bun.lock', 'bun.lockb'))) return (script) => ['bun', 'run', script];
  return (script) => (script === 'test' ? ['npm', 'test', '--silent'] : ['npm', 'run', '--silent', script]);
}
