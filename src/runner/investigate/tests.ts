import type { Finding } from '../../domain/finding.ts';
import { type Analyser, found, matchWithin } from './seen.ts';

/** An error as most JavaScript runners print it below the name of the test. */
const jsError = /^\s*(?:→\s*)?((?:[A-Z]\w*)?(?:Error|Exception)\b.*)$/;

const failure = (name: string, message: string | undefined, file?: string, line?: string): Finding =>
  found('test-failure', [file, name].filter(Boolean).join(' > '), message ?? `${name} failed`, 4, file, line);

/** ` FAIL  src/sum.test.ts > sums > adds`, with the error and its place below. */
const vitest: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const [, file, name] = /^\s*FAIL\s+(?:\|[^|]+\|\s+)?(\S+\.\w+)\s+>\s+(.+)$/.exec(text) ?? [];
    if (file === undefined || name === undefined) return [];
    const line = matchWithin(lines, at + 1, 15, /❯\s+\S+?:(\d+):\d+/)?.[1];
    return [failure(name, matchWithin(lines, at + 1, 6, jsError)?.[1], file, line)];
  });

/** `FAIL src/sum.test.js`, then `  ● sums › adds` for each. */
const jest: Analyser = ({ lines }) => {
  let file: string | undefined;
  return lines.flatMap((text, at) => {
    file = /^\s*FAIL\s+(\S+\.\w+)(?:\s+\([\d.]+ m?s\))?$/.exec(text)?.[1] ?? file;
    const name = /^\s{1,4}●\s+(.+)$/.exec(text)?.[1];
    if (file === undefined || name === undefined || /^(?:Console|Test suite failed to run|Cannot log after)/.test(name)) return [];
    const said = matchWithin(lines, at + 1, 6, /^\s{4,}(\S.*)$/)?.[1];
    return [failure(name, said, file, matchWithin(lines, at + 1, 40, /\((?:\S+?):(\d+):\d+\)$/)?.[1])];
  });
};

/** The list at the end of the spec reporter, or TAP where output is no terminal. */
const nodeTest: Analyser = ({ lines }) => {
  const spec = lines.flatMap((text, at) => {
    const [, file, line] = /^test at (\S+?):(\d+):\d+$/.exec(text) ?? [];
    const name = file === undefined ? undefined : /^✖ (.+?)(?: \([\d.]+m?s\))?$/.exec(lines[at + 1] ?? '')?.[1];
    return name === undefined ? [] : [failure(name, matchWithin(lines, at + 2, 4, jsError)?.[1], file, line)];
  });
  const tap = lines.flatMap((text, at) => {
    const name = /^\s*not ok \d+ - (.+?)(?:\s+# .*)?$/.exec(text)?.[1];
    if (name === undefined || /# (?:SKIP|TODO)/i.test(text) || matchWithin(lines, at + 1, 4, /^\s*type: 'suite'/)) return [];
    const [, file, line] = matchWithin(lines, at + 1, 6, /^\s*location: '(.+?):(\d+):\d+'/) ?? [];
    const said = matchWithin(lines, at + 1, 10, /^\s*error: (?:\|-|'?(.+?)'?)$/)?.[1];
    return [failure(name, said, file, line)];
  });
  return [...spec, ...tap];
};

/** The short summary: `FAILED tests/test_sum.py::test_adds - assert 4 == 5`. */
const pytest: Analyser = ({ lines }) =>
  lines.flatMap((text) => {
    const [, file, name, said] = /^(?:FAILED|ERROR) (\S+?\.py)(?:::(\S+(?:\[.*?\])?))?(?: - (.*))?$/.exec(text) ?? [];
    return file === undefined ? [] : [failure(name ?? file, said, file)];
  });

/** `--- FAIL: TestAdds (0.00s)`, with its place on the next line. The test around a failed part is not told again. */
const go: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const name = /^\s*--- FAIL: (\S+) \([\d.]+s\)$/.exec(text)?.[1];
    if (name === undefined || lines[at + 1]?.trimStart().startsWith(`--- FAIL: ${name}/`)) return [];
    const [, file, line, said] = matchWithin(lines, at + 1, 3, /^\s+(\S+_test\.go):(\d+): (.*)$/) ?? [];
    return [failure(name, said, file, line)];
  });

/** `test tests::adds ... FAILED`; why stands where the panic is told. */
const cargo: Analyser = ({ lines }) =>
  lines.flatMap((text) => {
    const name = /^test (\S+)(?: - .+)? \.\.\. FAILED$/.exec(text)?.[1];
    if (name === undefined) return [];
    const at = lines.findIndex((line) => line.startsWith(`thread '${name}'`) && line.includes('panicked at'));
    const [, file, line] = /panicked at (\S+?):(\d+):\d+/.exec(lines[at] ?? '') ?? [];
    return [failure(name, at < 0 ? undefined : lines[at + 1], file, line)];
  });

/** `[ERROR]   SumTest.adds:15 expected: <4> but was: <5>`, the summary of Maven's Surefire. */
const surefire: Analyser = ({ lines }) =>
  lines.flatMap((text) => {
    const [, test, line, said] = /^\[ERROR\]\s{2,}(\w[\w$.]*\.\w+)(?::(\d+))?(?:->\S+)? (.+)$/.exec(text) ?? [];
    return test === undefined ? [] : [found('test-failure', test, said ?? `${test} failed`, 4, undefined, line)];
  });

const runners: readonly Analyser[] = [vitest, jest, nodeTest, pytest, go, cargo, surefire];

export const testFailures: Analyser = (seen) => runners.flatMap((runner) => runner(seen));
