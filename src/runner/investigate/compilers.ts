import { type Analyser, found, matchWithin } from './seen.ts';

/** `src/a.ts(3,5): error TS2322: …`, or `src/a.ts:3:5 - error TS2322: …` for people. */
const tsc: Analyser = ({ lines }) =>
  lines.flatMap((text) => {
    const [, file, line, code, said] = /^(\S+?\.[cm]?[jt]sx?)[(:](\d+)[,:]\d+\)?(?::| -) error (TS\d+): (.+)$/.exec(text) ?? [];
    return code === undefined || said === undefined ? [] : [found('type-error', code, said, 2, file, line)];
  });

const mypy: Analyser = ({ lines }) =>
  lines.flatMap((text) => {
    const [, file, line, said, code] = /^(\S+?\.pyi?):(\d+)(?::\d+)?: error: (.+?)(?:\s+\[([\w-]+)\])?$/.exec(text) ?? [];
    return said === undefined ? [] : [found('type-error', code ?? 'mypy', said, 2, file, line)];
  });

/** `./main.go:10:2: undefined: x`; what a test reports has no column. */
const go: Analyser = ({ lines }) =>
  lines.flatMap((text) => {
    const [, file, line, said] = /^(?:vet: )?(\S+?\.go):(\d+):\d+: (.+)$/.exec(text) ?? [];
    return said === undefined || isDeprecation(said) ? [] : [found('compile-error', 'go', said, 2, file, line)];
  });

/** `error[E0308]: mismatched types`, with `  --> src/main.rs:3:5` below it. */
const rustc: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const [, code, said] = /^error(?:\[(E\d+)\])?: (.+)$/.exec(text) ?? [];
    const [, file, line] = matchWithin(lines, at + 1, 3, /^\s*--> (\S+?):(\d+):\d+$/) ?? [];
    return said === undefined || file === undefined ? [] : [found('compile-error', code ?? 'rustc', said, 2, file, line)];
  });

/** Also as Maven tells it: `[ERROR] /src/Main.java:[5,10] ';' expected`. */
const javac: Analyser = ({ lines }) =>
  lines.flatMap((text) => {
    const [, file, line, said] =
      /^(\S+?\.java):(\d+): error: (.+)$/.exec(text) ?? /^\[ERROR\] (\S+?\.java):\[(\d+),\d+\] (?:error: )?(.+)$/.exec(text) ?? [];
    return said === undefined ? [] : [found('compile-error', 'javac', said, 2, file, line)];
  });

/** GCC and Clang. */
const c: Analyser = ({ lines }) =>
  lines.flatMap((text) => {
    const [, file, line, said] = /^(\S+?\.(?:c|cc|cpp|cxx|h|hh|hpp|m|mm)):(\d+):\d+: (?:fatal )?error: (.+)$/.exec(text) ?? [];
    return said === undefined ? [] : [found('compile-error', 'c', said, 2, file, line)];
  });

const isDeprecation = (said: string): boolean => said.includes('SA1019') || / is deprecated/.test(said);

const compilers: readonly Analyser[] = [tsc, mypy, go, rustc, javac, c];

export const compileErrors: Analyser = (seen) => compilers.flatMap((compiler) => compiler(seen));
