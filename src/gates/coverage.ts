import { evidence, type Gate, type Scene } from './gate.ts';

/** Where test runners leave what they measured, by lines. A summary alone says nothing about the lines of a change. */
const reports = [
  { path: 'coverage/lcov.info', parse: parseLcov },
  { path: 'lcov.info', parse: parseLcov },
  { path: 'coverage/cobertura-coverage.xml', parse: parseCobertura },
  { path: 'coverage.xml', parse: parseCobertura },
] as const;

/** By file, by line: how often it was run. */
type Coverage = ReadonlyMap<string, ReadonlyMap<number, number>>;

/** A share of less than this many lines says nothing. */
const fewestLines = 5;

/** How much of the lines that the change adds the tests have run; only where a report of this very moment says it. */
export const coverageGate = (leastPercent: number): Gate => ({
  id: 'coverage',
  kind: 'coverage',
  definition: String(leastPercent),
  async check(scene) {
    const report = await readReport(scene);
    if (!report) return evidence({ passed: true, summary: 'The tests left no report of coverage by lines.' });
    const measured = (scene.change?.lines ?? [])
      .filter(({ kind }) => kind === 'added')
      .flatMap(({ path, line }) => {
        const hits = report.get(path)?.get(line);
        return hits === undefined ? [] : [{ path, line, hits }];
      });
    const missed = measured.filter(({ hits }) => hits === 0);
    const percent = measured.length === 0 ? 100 : Math.floor((100 * (measured.length - missed.length)) / measured.length);
    const summary = `${percent} % of ${measured.length} changed lines are covered by tests`;
    const coverage = { covered: measured.length - missed.length, measured: measured.length };
    if (measured.length < fewestLines) return evidence({ passed: true, summary: `${summary}: too few to judge.`, coverage });
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

async function readReport(scene: Scene): Promise<Coverage | undefined> {
  for (const { path, parse } of reports) {
    const text = await scene.leftBehind(path);
    if (text !== undefined) return parse(text, scene.directory);
  }
  return undefined;
}

function parseLcov(text: string, directory: string): Coverage {
  const coverage = new Map<string, Map<number, number>>();
  let file = new Map<number, number>();
  for (const line of text.split('\n')) {
    if (line.startsWith('SF:')) file = fileOf(coverage, relative(line.slice(3).trim(), directory));
    const [, at, hits] = /^DA:(\d+),(\d+)/.exec(line) ?? [];
    if (at !== undefined) add(file, Number(at), Number(hits));
  }
  return coverage;
}

function parseCobertura(text: string, directory: string): Coverage {
  const coverage = new Map<string, Map<number, number>>();
  const root = /<source>([^<]{1,1000})<\/source>/.exec(text)?.[1] ?? '';
  const prefix = relative(root, directory);
  let file = new Map<number, number>();
  for (const [tag] of text.matchAll(/<(?:class|line)\s[^<>]{1,2000}>/g)) {
    const name = /\sfilename="([^"]+)"/.exec(tag)?.[1];
    if (name !== undefined) {
      const path = relative(name, directory);
      file = fileOf(coverage, prefix === '' || prefix === '.' || prefix.startsWith('/') ? path : `${prefix}/${path}`);
    }
    const [at, hits] = [/\snumber="(\d+)"/.exec(tag)?.[1], /\shits="(\d+)"/.exec(tag)?.[1]];
    if (at !== undefined && hits !== undefined) add(file, Number(at), Number(hits));
  }
  return coverage;
}

const relative = (path: string, directory: string): string =>
  (path === directory ? '' : path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : path)
    .replace(/^\.\//, '')
    .replace(/\/$/, '');

function fileOf(coverage: Map<string, Map<number, number>>, path: string): Map<number, number> {
  const file = coverage.get(path) ?? new Map<number, number>();
  coverage.set(path, file);
  return file;
}

const add = (file: Map<number, number>, line: number, hits: number): void => void file.set(line, (file.get(line) ?? 0) + hits);
