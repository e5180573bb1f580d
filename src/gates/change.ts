import { evidence, type Gate } from './gate.ts';
import { matchesGlob } from './glob.ts';

/** Something was asked for, so something must have been changed. */
export const changedGate: Gate = {
  id: 'changed',
  kind: 'changed',
  async check({ change }) {
    const count = change?.files.length ?? 0;
    return count > 0
      ? evidence({ passed: true, summary: `${count === 1 ? '1 file is' : `${count} files are`} changed.` })
      : evidence({ passed: false, summary: 'Nothing has been changed.', signature: 'nothing-changed' });
  },
};

/** Written by programs: their length says nothing about how much there is to review. */
const lockFiles = [
  'package-lock.json',
  'npm-shrinkwrap.json',
  'pnpm-lock.yaml',
  'yarn.lock',
  'bun.lock',
  'Cargo.lock',
  'go.sum',
  'poetry.lock',
  'uv.lock',
];

/** A change that no person can review is not done, whatever is in it. */
export const sizeGate = (limits: { readonly changedFiles: number; readonly changedLines: number }): Gate => ({
  id: 'size',
  kind: 'size',
  async check({ change }) {
    const counted = (change?.files ?? []).filter(({ path }) => !lockFiles.includes(path.split('/').at(-1) ?? ''));
    const lines = counted.reduce((sum, { additions, deletions }) => sum + (additions ?? 0) + (deletions ?? 0), 0);
    const files = counted.length === 1 ? '1 file' : `${counted.length} files`;
    const size = `${files} with ${lines === 1 ? '1 line' : `${lines} lines`} ${counted.length === 1 ? 'is' : 'are'} changed`;
    if (counted.length <= limits.changedFiles && lines <= limits.changedLines) return evidence({ passed: true, summary: `${size}.` });
    return evidence({
      passed: false,
      summary: `${size}; the limit is ${limits.changedFiles} files and ${limits.changedLines} lines.`,
      findings: largestDirectories(counted.map(({ path }) => path)),
      signature: 'too-large',
    });
  },
});

/**
 * Files that are longer than anything that belongs into a repository: until they are gone, not all of the work can be judged.
 * A gate of its own: what it says is not about the tree, in which they are missing.
 */
export const tooBigGate = (paths: readonly string[]): Gate => ({
  id: 'too-big',
  kind: 'size',
  check: async () =>
    evidence({
      passed: false,
      summary: `${paths.length === 1 ? '1 file is' : `${paths.length} files are`} too big to be taken: a file may have 50 MB, all that is new or changed 256 MB. Remove what does not belong here, or have git ignore it.`,
      findings: paths.slice(0, 20).map((path) => ({ path, line: null, text: 'is too big' })),
      signature: 'too-big',
    }),
});

function largestDirectories(paths: readonly string[]): { path: string; line: null; text: string }[] {
  const counts = new Map<string, number>();
  for (const path of paths) {
    const directory = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.';
    counts.set(directory, (counts.get(directory) ?? 0) + 1);
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 5)
    .map(([path, count]) => ({ path, line: null, text: `${count} changed files` }));
}

/** What the repository says that no agent may touch. A rename touches both names. */
export const pathsGate = (forbidden: readonly string[]): Gate => ({
  id: 'paths',
  kind: 'paths',
  async check({ change }) {
    const touched = (change?.files ?? []).flatMap(({ path, from }) => (from === undefined ? [path] : [from, path]));
    const findings = touched.flatMap((path) => {
      const pattern = forbidden.find((each) => matchesGlob(path, each));
      return pattern === undefined ? [] : [{ path, line: null, text: `may not be changed (${pattern})` }];
    });
    if (findings.length === 0) return evidence({ passed: true, summary: 'No forbidden path is touched.' });
    const summary = `${findings.length === 1 ? '1 path' : `${findings.length} paths`} that may not be changed ${findings.length === 1 ? 'is' : 'are'} changed.`;
    return evidence({ passed: false, summary, findings: findings.slice(0, 20), signature: `paths:${findings[0]?.path ?? ''}` });
  },
});
