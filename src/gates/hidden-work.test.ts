import { describe, expect, test } from 'vitest';
import type { Ignored } from '../workspace/snapshot.ts';
import type { Change } from './gate.ts';
import { hiddenWork } from './hidden-work.ts';

/** Lines that come to files which hide, what git ignores then, and what there is beside. */
async function hidden(
  lines: Readonly<Record<string, string>>,
  ignored: readonly (readonly [path: string, by: string, pattern: string])[],
  others: readonly string[] = [],
): Promise<readonly string[]> {
  const { grave, told } = await hiddenWork({
    files: [],
    lines: Object.entries(lines).map(([path, text]) => ({ path, kind: 'added', line: 1, text })),
    linesTruncated: false,
    ignored: ignored.map(([path, by, pattern]): Ignored => ({ path, by, pattern })),
    touchedPrograms: [],
    eachAdded: async () => ({ ok: true }),
    before: async () => undefined,
    now: async (path) => (others.includes(path) || path in lines ? '' : undefined),
  } satisfies Change);
  return [...grave.map(({ path, text }) => `red: ${path} ${text}`), ...told.map(({ path, text }) => `told: ${path} ${text}`)];
}

describe('what is hidden is', () => {
  test('told where a whole kind of files is ignored that a compiler makes', async () => {
    expect(await hidden({ '.gitignore': '*.js' }, [['src/a.js', '.gitignore', '*.js']], ['src/a.ts'])).toEqual([
      'told: .gitignore hides *.js from now on',
    ]);
    expect(await hidden({ '.gitignore': 'src/**/*.js' }, [])).toEqual(['told: .gitignore hides src/**/*.js from now on']);
  });

  test('red where there are sources of that kind, or tests', async () => {
    expect(await hidden({ '.gitignore': '*.js' }, [['src/a.js', '.gitignore', '*.js']])).toEqual(['red: .gitignore hides *.js']);
    expect(await hidden({ '.gitignore': '*.test.js' }, [])).toEqual(['red: .gitignore hides *.test.js']);
    expect(await hidden({ '.eslintignore': '*.js' }, [])).toEqual(['red: .eslintignore hides *.js']);
  });

  test('red where the file that hides it hides itself', async () => {
    const entries = (directory: string, ...names: readonly string[]) =>
      ['', '.gitignore', ...names].map((name) => [`${directory}/${name}`, `${directory}/.gitignore`, '*'] as const);
    expect(await hidden({}, entries('lib/fast', 'a.js', 'deep/'))).toEqual([
      'red: lib/fast/.gitignore hides itself, and with it lib/fast/a.js and 1 more: checks see it, and nobody gets it',
    ]);
    expect(
      await hidden({}, [
        ['run.sh', '.gitignore', 'run.sh'],
        ['.gitignore', '.gitignore', '.gitignore'],
      ]),
    ).toHaveLength(1);
    expect(await hidden({}, entries('.husky/_', 'husky.sh'))).toEqual([
      expect.stringMatching(/^told: \.husky\/_\/\.gitignore hides itself/),
    ]);
    for (const [directory, name] of [
      ['.pytest_cache', 'v/'],
      ['.venv', 'bin/'],
      ['env', 'pyvenv.cfg'],
      ['builddir', 'meson-info/'],
      ['notes', 'a.txt'],
    ] as const)
      expect(await hidden({}, entries(directory, name))).toEqual([]);
  });

  test('nothing that a tool has made into a directory of its own', async () => {
    const names = ['pkg/.gitignore', 'pkg/fast.js', 'pkg/fast_bg.wasm'];
    expect(
      await hidden(
        {},
        names.map((name) => [name, 'pkg/.gitignore', '*']),
      ),
    ).toEqual([]);
  });

  test('told where a directory is to be kept without what will come into it, and red where that is work', async () => {
    const by = 'uploads/.gitignore';
    expect(await hidden({ [by]: '*' }, [])).toEqual([`told: ${by} hides * from now on`]);
    expect(await hidden({ [by]: '*' }, [['uploads/a.png', by, '*']])).toEqual([`told: ${by} hides * from now on`]);
    expect(await hidden({ [by]: '*' }, [['uploads/a.js', by, '*']])).toEqual([`red: ${by} hides *`]);
    expect(await hidden({ 'tests/.gitignore': '*' }, [])).toEqual(['red: tests/.gitignore hides *']);
    expect(await hidden({ '.gitignore': '*' }, [])).toEqual(['red: .gitignore hides *']);
    expect(await hidden({ '.gitignore': 'e2e/.auth/' }, [])).toEqual([]);
  });

  test('nobody’s business where a repository has always ignored it', async () => {
    expect(await hidden({}, [['local/a.js', '.gitignore', 'local/']], ['.gitignore'])).toEqual([]);
  });
});
