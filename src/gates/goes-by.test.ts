import { describe, expect, test } from 'vitest';
import { goesBy } from './goes-by.ts';

type Files = Readonly<Record<string, string>>;
const scripts = (of: Readonly<Record<string, string>>): string => JSON.stringify({ scripts: of });

async function reach(argv: string, files: Files, candidates: readonly string[]): Promise<readonly string[]> {
  const by = await goesBy(argv.split(' '), async (path) => files[path]);
  return candidates.filter((path) => by.has(path));
}

describe('a command goes by', () => {
  test.each<[string, string, Files, readonly string[]]>([
    ['a script that it is', './lint.sh', {}, ['lint.sh']],
    [
      'a script that package.json names',
      'npm run --silent lint',
      { 'package.json': scripts({ lint: 'sh ci/lint.sh' }) },
      ['ci/lint.sh', 'package.json'],
    ],
    [
      'a script that another script of package.json names',
      'npm run lint',
      { 'package.json': scripts({ lint: 'run-s lint:*', 'lint:style': './style.sh', prelint: 'node before.js' }) },
      ['style.sh', 'before.js'],
    ],
    [
      'what scripts name, and what those name',
      'make lint',
      { Makefile: 'lint:\n\t@./a.sh\n', 'a.sh': '. "$(dirname "$0")/lib/b.sh"\n', 'lib/b.sh': 'exec sh lib/c.sh\n' },
      ['Makefile', 'a.sh', 'lib/b.sh', 'lib/c.sh'],
    ],
    ['a variable of make', 'make lint', { Makefile: 'LINT := ./bin/check-all\nlint:\n\t$(LINT)\n' }, ['bin/check-all']],
    [
      'what a Makefile includes',
      'make lint',
      { Makefile: 'include mk/lint.mk mk/more/*.mk\nlint: style\n', 'mk/lint.mk': 'style:\n\tpython3 tools/style.py\n' },
      ['mk/lint.mk', 'mk/more/x.mk', 'tools/style.py'],
    ],
    ['a target that it needs', 'make lint', { Makefile: 'lint: style\nstyle:\n\tsh style.sh\nrun:\n\tsh run.sh\n' }, ['style.sh']],
    ['a Makefile elsewhere', 'make lint', { Makefile: 'lint:\n\tcd tools && ./lint.sh\n' }, ['tools/lint.sh']],
    ['a place that a variable names', 'make lint', { Makefile: 'lint:\n\t$(TOOLS)/lint.sh\n' }, ['somewhere/lint.sh']],
    ['settings that it is given', 'eslint -c tools/strict.js --rcfile=.x/rc src/a.js', {}, ['tools/strict.js', '.x/rc']],
    [
      'what its program imports from beside it',
      'node tools/lint.js',
      { 'tools/lint.js': "import { rules } from './rules/all.js';\nimport '../src/a.js';\n" },
      ['tools/lint.js', 'tools/rules/all.js'],
    ],
    ['a program without an ending', 'node tools/lint', {}, ['tools/lint.js']],
    ['a module of Python', 'python3 -m tools.lint', { 'tools/lint.py': 'from .rules import all\n' }, ['tools/lint.py', 'tools/rules.py']],
    ['a script that a program starts', 'node lint.js', { 'lint.js': "execFileSync('./more.sh');\n" }, ['more.sh']],
  ])('%s', async (_name, argv, files, paths) => {
    expect(await reach(argv, files, paths)).toEqual(paths);
  });

  test.each<[string, string, Files, string]>([
    ['what it looks at', 'eslint src/a.js', {}, 'src/a.js'],
    ['what a test imports', 'node test.js', { 'test.js': "import './a.js';\n" }, 'a.js'],
    ['what its program imports from elsewhere', 'node tools/lint.js', { 'tools/lint.js': "import '../src/a.js';\n" }, 'src/a.js'],
    ['another script', 'npm test', { 'package.json': scripts({ test: 'vitest', start: 'node start.js' }) }, 'start.js'],
    ['another target', 'make lint', { Makefile: 'lint:\n\truff\nrun:\n\tsh run.sh\n' }, 'run.sh'],
    ['what lies outside', 'sh ../x.sh', {}, 'x.sh'],
  ])('not by %s', async (_name, argv, files, path) => {
    expect(await reach(argv, files, [path])).toEqual([]);
  });

  test('what names itself, and names without end, without end', async () => {
    const endless = { 'a.sh': `./a.sh ./b.sh\n${'./x '.repeat(500_000)}`, 'b.sh': './a.sh\n' };
    expect(await reach('./a.sh', endless, ['a.sh', 'b.sh'])).toEqual(['a.sh', 'b.sh']);
    const places = Array.from({ length: 10_000 }, (_, at) => `cd d${at}`).join(' ');
    expect(await reach('./a.sh', { 'a.sh': places }, ['d1/cd', 'd9999/cd'])).toEqual(['d1/cd']);
    const words = `${Array.from({ length: 20 }, (_, at) => `cd d${at}`).join('\n')}\nsh ${'a b '.repeat(15_000)}`;
    const scripts = Array.from({ length: 30 }, (_, at) => `sh s${at}.sh`).join('\n');
    const long = async (path: string) => (path === 'a.sh' ? scripts : /^s\d+\.sh$/.test(path) ? words : undefined);
    expect((await goesBy(['./a.sh'], long)).has('s29.sh')).toBe(true);
    let reads = 0;
    await goesBy(['./0.sh'], async (path) => {
      reads += 1;
      return `./${path.length}${reads}.sh\n`;
    });
    expect(reads).toBeLessThan(2_500);
  });
});
