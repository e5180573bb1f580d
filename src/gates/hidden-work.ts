import { posix } from 'node:path';
import type { Finding } from '../domain/gate.ts';
import type { ChangedLine } from '../workspace/diff.ts';
import { configuration, made } from './configuration.ts';
import type { Change } from './gate.ts';
import { isTest, source } from './test-files.ts';

/** What is hidden: red where it is work, told where it may be. */
interface Hidden {
  readonly grave: readonly Finding[];
  readonly told: readonly Finding[];
}

/**
 * Work that git does not take or that nobody is shown: the gates use it all the same. Lines that come to files which hide are
 * judged by what they are meant for; files that hide and are in no change, since they hide themselves, by what lies there.
 */
export async function hiddenWork(change: Change): Promise<Hidden> {
  const [grave, told]: [Finding[], Finding[]] = [[], []];
  for (const { line, pattern, onlyKind } of hidingLines(change.lines)) {
    const found = { path: line.path, line: line.line, text: `hides ${pattern.slice(0, 80)}` };
    // Of such a kind are sources in one project, and what a compiler makes of them in another. And a directory of uploads is kept so.
    const mayBeMade = onlyKind
      ? !(await hidesSources(change, line.path, pattern))
      : keepsEmpty(line.path, pattern) && !hidesWork(change, line.path);
    (mayBeMade ? told : grave).push(mayBeMade ? { ...found, text: `${found.text} from now on` } : found);
  }
  for (const { by, paths } of await selfHidden(change)) {
    const text = `hides itself, and with it ${paths[0]}${paths.length > 1 ? ` and ${paths.length - 1} more` : ''}: checks see it, and nobody gets it`;
    (ofTools.test(by) ? told : grave).push({ path: by, line: null, text });
  }
  return { grave, told };
}

const shownToNobody = /\s(?:-diff|binary|-text|linguist-(?:generated|vendored)(?:=true)?|export-ignore)(?:\s|$)/;

const leftByTests = /\/(?:\.(?:auth|te?mp)|te?mp|out|output|screenshots|videos|results|reports|downloads|artifacts|logs)\/?$/;

interface HidingLine {
  readonly line: ChangedLine;
  readonly pattern: string;
  /** All files of one ending, by .gitignore. */
  readonly onlyKind: boolean;
}

const hidingLines = (lines: readonly ChangedLine[]): readonly HidingLine[] =>
  lines.flatMap((line) => {
    const [, file] = /(?:^|\/)\.(?:git|eslint|stylelint)(ignore|attributes)$/.exec(line.path) ?? [];
    const pattern = line.text.trim().split(/\s+/)[0] ?? '';
    if (line.kind !== 'added' || file === undefined || pattern === '' || /^[#!]/.test(pattern)) return [];
    if (made.test(pattern) || leftByTests.test(pattern)) return [];
    if (file === 'attributes' && !shownToNobody.test(line.text)) return [];
    const onlyKind = /(?:^|\/)\.gitignore$/.test(line.path) && /^[\w./*-]*\*\.[cm]?jsx?$/.test(pattern);
    return isWork(pattern) ? [{ line, pattern, onlyKind }] : [];
  });

/** A pattern that tests, sources or what configures gates are meant by. */
function isWork(pattern: string): boolean {
  const name = pattern.replace(/^\/?(?:\*\*\/)?/, '');
  const sample = name.replaceAll('*', 'x').replace(/\/$/, '/x.ts');
  return /^x?$/.test(sample) || isTest(sample) || configuration.test(sample) || /(?:^|[/._-])conftest\b/.test(sample) || source.test(name);
}

/** All that will come into a directory which is to be there: `*` and `!.gitignore`, not at the root. */
const keepsEmpty = (path: string, pattern: string): boolean => path.endsWith('/.gitignore') && /^\/?\*{1,2}$/.test(pattern);
const hidesWork = ({ ignored }: Change, by: string): boolean =>
  isTest(`${posix.dirname(by)}/x.ts`) || ignored.some((each) => each.by === by && each.path !== by && mayBeWork(each.path, by));

/** Something that no compiler has made of what lies beside it. */
async function hidesSources({ ignored, now }: Change, by: string, pattern: string): Promise<boolean> {
  const isMade = async (path: string): Promise<boolean> => {
    const stem = path.replace(/\.[cm]?jsx?$/, '');
    for (const ending of ['.ts', '.tsx', '.mts', '.cts', '.coffee']) if ((await now(stem + ending)) !== undefined) return true;
    return false;
  };
  const hides = ignored.filter((each) => each.by === by && each.pattern === pattern && !made.test(each.path));
  for (const { path } of hides.slice(0, mostHidden)) if (!(await isMade(path))) return true;
  return hides.length > mostHidden;
}

const mostHidden = 200;

/** Tools that keep things for themselves write such files, into directories of their own. */
const ofTools = /(?:^|\/)(?:\.[\w-]+|htmlcov|test-results|playwright-report)\//;

/** What venv, Meson and wasm-pack leave beside a `.gitignore` of theirs. */
const madeByTool = /\/(?:pyvenv\.cfg|meson-info\/|[\w-]{1,100}_bg\.wasm)$/;

/** A file that says what git ignores, and is ignored: no change shows it, nor what it hides. */
async function selfHidden({ ignored, now }: Change): Promise<readonly { readonly by: string; readonly paths: readonly string[] }[]> {
  const byFile = Map.groupBy(ignored, ({ by }) => by);
  const found = await Promise.all(
    [...byFile].map(async ([by, entries]) => {
      const paths = entries.map(({ path }) => path).filter((path) => path !== by && !made.test(path) && mayBeWork(path, by));
      const isMade = entries.some(({ path }) => madeByTool.test(path));
      if (paths.length === 0 || isMade || (await now(by)) !== undefined) return [];
      return [{ by, paths: paths.slice(0, mostHidden) }];
    }),
  );
  return found.flat();
}

const mayBeWork = (path: string, by: string): boolean =>
  source.test(path) || configuration.test(path) || /\.(?:sh|mk)$/.test(path) || (path.endsWith('/') && path !== `${posix.dirname(by)}/`);
