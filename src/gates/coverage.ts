import { addedLines, holds } from './added-lines.ts';
import { evidence, type Gate, type LeftBehind, type Scene } from './gate.ts';

type Tell = (path: string, line: number, hits: number) => void;
/** Takes a report piece by piece, and tells how often each line was run. What it does not understand it passes over. */
type Parser = (directory: string, tell: Tell) => (piece: string) => void;

/** Where test runners leave what they measured, by lines. A summary alone says nothing about the lines of a change. */
const reports: readonly { readonly path: string; readonly parser: Parser }[] = [
  { path: 'coverage/lcov.info', parser: lcov },
  { path: 'lcov.info', parser: lcov },
  { path: 'coverage/cobertura-coverage.xml', parser: cobertura },
  { path: 'coverage.xml', parser: cobertura },
];
export const coverageReports: readonly string[] = reports.map(({ path }) => path);

/** A share of less than this many lines says nothing. */
const fewestLines = 5;
/** Of the change that a report tells of. */
const mostLines = 500_000;

/** How much of the lines that the change adds the tests have run; only where a report that the checks have just written says it. */
export const coverageGate = (leastPercent: number): Gate => ({
  id: 'coverage',
  kind: 'coverage',
  definition: String(leastPercent),
  async check(scene) {
    const found = await firstReport(scene);
    if (!found || !scene.change) return evidence({ passed: true, summary: 'The tests left no report of coverage by lines.' });
    const { path: name, report, parser } = found;
    if (report.kind === 'too-long') return tooMuch(name, `is longer than ${report.limit / 2 ** 20} MB`);
    const { change, directory } = scene;
    const added = await addedLines(
      change,
      change.files.map(({ path }) => path),
    );
    if (!added.ok) return added;

    const runs = new Map<string, { readonly path: string; readonly line: number; hits: number }>();
    const take = parser(directory, (path, line, hits) => {
      if (runs.size > mostLines || !holds(added.of(path), line)) return;
      const key = `${line} ${path}`;
      const known = runs.get(key);
      if (known) known.hits += hits;
      else runs.set(key, { path, line, hits });
    });
    for await (const piece of report.pieces) take(piece);
    if (runs.size > mostLines) return tooMuch(name, `tells of more than ${mostLines} changed lines`);

    const missed = [...runs.values()].filter(({ hits }) => hits === 0);
    const percent = runs.size === 0 ? 100 : Math.floor((100 * (runs.size - missed.length)) / runs.size);
    const summary = `${percent} % of ${runs.size} changed lines are covered by tests`;
    const coverage = { covered: runs.size - missed.length, measured: runs.size };
    if (runs.size < fewestLines) return evidence({ passed: true, summary: `${summary}: too few to judge.`, coverage });
    if (percent >= leastPercent) return evidence({ passed: true, summary: `${summary}.`, coverage });
    return evidence({
      passed: false,
      coverage,
      summary: `${summary}; at least ${leastPercent} % are asked for.`,
      findings: missed.slice(0, 20).map(({ path, line }) => ({ path, line, text: 'is run by no test' })),
      signature: 'coverage',
    });
  },
});

async function firstReport(
  scene: Scene,
): Promise<{ readonly path: string; readonly parser: Parser; readonly report: LeftBehind } | undefined> {
  for (const { path, parser } of reports) {
    const report = await scene.leftBehind(path);
    if (report) return { path, parser, report };
  }
  return undefined;
}

const tooMuch = (path: string, why: string): ReturnType<typeof evidence> =>
  evidence({ passed: false, summary: `The report ${path} ${why} and was not judged.`, signature: 'coverage:too-much' });

const longestLine = 4_096;

function lcov(directory: string, tell: Tell): (piece: string) => void {
  let rest = '';
  let path = '';
  return (piece) => {
    const lines = (rest + piece).split('\n');
    rest = (lines.pop() ?? '').slice(0, longestLine);
    for (const line of lines) {
      if (line.startsWith('SF:')) path = relative(line.slice(3).trim(), directory);
      const [, at, hits] = /^DA:(\d{1,9}),(\d{1,15})/.exec(line) ?? [];
      if (at !== undefined) tell(path, Number(at), Number(hits));
    }
  };
}

function cobertura(directory: string, tell: Tell): (piece: string) => void {
  let rest = '';
  let prefix = '';
  let path = '';
  return (piece) => {
    const text = rest + piece;
    let end = 0;
    for (const match of text.matchAll(/<source>([^<]{1,1000})<\/source>|<(?:class|line)\s[^<>]{1,2000}>/g)) {
      const [tag, source] = match;
      end = match.index + tag.length;
      if (source !== undefined) {
        prefix ||= relative(source, directory);
        continue;
      }
      const name = /\sfilename="([^"]+)"/.exec(tag)?.[1];
      if (name !== undefined) {
        const own = relative(name, directory);
        path = prefix === '' || prefix === '.' || prefix.startsWith('/') ? own : `${prefix}/${own}`;
      }
      const [at, hits] = [/\snumber="(\d{1,9})"/.exec(tag)?.[1], /\shits="(\d{1,15})"/.exec(tag)?.[1]];
      if (at !== undefined && hits !== undefined) tell(path, Number(at), Number(hits));
    }
    rest = text.slice(end).slice(-longestLine);
  };
}

const relative = (path: string, directory: string): string =>
  (path === directory ? '' : path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : path)
    .replace(/^\.\//, '')
    .replace(/\/$/, '');
