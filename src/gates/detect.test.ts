import { describe, expect, test } from 'vitest';
import { detectGates } from './detect.ts';

type Files = Readonly<Record<string, string>>;
const found = async (files: Files): Promise<Readonly<Record<string, string>>> =>
  Object.fromEntries((await detectGates(async (path) => files[path])).map(({ id, argv }) => [id, argv.join(' ')]));
const scripts = (all: Files): Files => ({ 'package.json': JSON.stringify({ scripts: all }) });

describe('the gates of a repository', () => {
  test.each<[string, Files, Files]>([
    [
      'npm',
      scripts({ build: 'vite build', 'type-check': 'tsc', lint: 'eslint .', test: 'vitest run' }),
      { build: 'npm run --silent build', types: 'npm run --silent type-check', lint: 'npm run --silent lint', tests: 'npm test --silent' },
    ],
    ['pnpm', { ...scripts({ test: 'vitest run' }), 'pnpm-lock.yaml': '' }, { tests: 'pnpm run --silent test' }],
    ['yarn', { ...scripts({ test: 'jest' }), 'yarn.lock': '' }, { tests: 'yarn run test' }],
    ['bun', { ...scripts({ test: 'bun test' }), 'bun.lockb': '' }, { tests: 'bun run test' }],
    [
      'a named package manager',
      { 'package.json': '{"packageManager":"pnpm@9.0.0","scripts":{"test":"x"}}' },
      { tests: 'pnpm run --silent test' },
    ],
    ['cargo', { 'Cargo.toml': '[package]\n' }, { build: 'cargo build --all-targets', tests: 'cargo test' }],
    ['go', { 'go.mod': 'module x\n' }, { build: 'go build ./...', lint: 'go vet ./...', tests: 'go test ./...' }],
    ['pytest by its file', { 'pytest.ini': '' }, { tests: 'python3 -m pytest' }],
    [
      'a Python project by its settings',
      { 'pyproject.toml': '[tool.pytest.ini_options]\n[tool.ruff]\n[tool.mypy]\n' },
      { types: 'python3 -m mypy .', lint: 'ruff check .', tests: 'python3 -m pytest' },
    ],
    ['setup.cfg', { 'setup.cfg': '[tool:pytest]\n[mypy]\n' }, { types: 'python3 -m mypy .', tests: 'python3 -m pytest' }],
    ['maven', { 'pom.xml': '<project/>' }, { tests: 'mvn --batch-mode --quiet test' }],
    ['maven with its wrapper', { 'pom.xml': '<project/>', mvnw: '' }, { tests: './mvnw --batch-mode --quiet test' }],
    ['gradle', { 'build.gradle.kts': '', gradlew: '' }, { tests: './gradlew --console=plain --no-daemon test' }],
    ['make', { Makefile: 'all: x\nlint:\n\tx\ntest: all\n\tx\n' }, { lint: 'make lint', tests: 'make test' }],
    [
      'several kinds, each for what it has',
      { ...scripts({ lint: 'eslint .' }), Makefile: 'test:\n\tx\n' },
      { lint: 'npm run --silent lint', tests: 'make test' },
    ],
  ])('are found with %s', async (_name, files, gates) => {
    expect(await found(files)).toEqual(gates);
  });

  test.each<[string, Files]>([
    ['there is nothing', {}],
    ['npm init wrote the script', scripts({ test: 'echo "Error: no test specified" && exit 1' })],
    ['the script does nothing', scripts({ test: 'true', lint: 'exit 0', build: ':', types: '' })],
    ['the script only talks', scripts({ lint: 'echo nothing to lint here' })],
    ['the script cannot fail', scripts({ test: 'vitest run || true', lint: 'eslint .; exit 0', build: 'tsc || :' })],
    ['package.json is broken', { 'package.json': '{"scripts":' }],
    ['package.json is not an object', { 'package.json': 'null' }],
    ['package.json is a list', { 'package.json': '[]' }],
    ['scripts is something else', { 'package.json': '{"scripts":["test"]}' }],
    ['a script is something else', { 'package.json': '{"scripts":{"test":{"x":1}}}' }],
    ['make has a variable of the name', { Makefile: 'test := 1\ntest ::= 2\ntesting:\n\ttrue\n' }],
    ['a project in Python has no tools', { 'pyproject.toml': '[project]\n' }],
  ])('are not made up when %s', async (_name, files) => {
    expect(await found(files)).toEqual({});
  });
});
