import type { Finding } from '../../domain/finding.ts';
import { type Analyser, found, matchWithin } from './seen.ts';

/** Each line by itself: what it is called, what is said, and where, if that stands there. */
const deprecationLines: readonly (readonly [RegExp, (match: RegExpExecArray) => Finding])[] = [
  // (node:41) [DEP0040] DeprecationWarning: The `punycode` module is deprecated.
  [/^\(node:\d+\) (?:\[(\w+)\] )?DeprecationWarning: (.+)$/, ([, code, said = '']) => deprecation(code ?? said, said)],
  // npm warn deprecated inflight@1.0.6: This module is not supported
  [/^npm (?:warn|WARN) deprecated (\S+?)@\S+?: (.+)$/, ([, name = '', said = '']) => deprecation(`npm ${name}`, `${name}: ${said}`)],
  // /src/a.py:3: DeprecationWarning: invalid escape sequence
  [
    /^\s*(\S+?\.py):(\d+): ((?:Pending)?DeprecationWarning|FutureWarning): (.+)$/,
    ([, file, line, code = '', said = '']) => deprecation(code, said, file, line),
  ],
  // src/A.java:[3,5] / A.java:3: warning: [deprecation] stop() in Thread has been deprecated
  [
    /^(?:\[WARNING\] )?(\S+?\.java):\[?(\d+)(?:,\d+\])?:? (?:warning: )?\[(?:deprecation|removal)\] (.+)$/,
    ([, file, line, said = '']) => deprecation(said.split(' ')[0] ?? 'java', said, file, line),
  ],
  // a.c:3:5: warning: 'gets' is deprecated [-Wdeprecated-declarations]
  [
    /^(\S+?):(\d+):\d+: warning: (.+?) \[-Wdeprecated[\w-]*\]$/,
    ([, file, line, said = '']) => deprecation(/['‘"](.+?)['’"]/.exec(said)?.[1] ?? 'c', said, file, line),
  ],
  // main.go:3:5: ioutil.ReadFile is deprecated: As of Go 1.16 (SA1019)
  [
    /^(\S+?\.go):(\d+):\d+: (?:SA1019: )?(\S+) (?:has been|is) deprecated(?:: (.+))?$/,
    ([, file, line, name = '', said]) => deprecation(name, `${name} is deprecated${said === undefined ? '' : `: ${said}`}`, file, line),
  ],
];

function deprecation(code: string, said: string, file?: string, line?: string): Finding {
  return found('deprecation', code, said, 3, file, line);
}

/** `warning: use of deprecated function `a::b`: use c`, with its place below. */
const rustDeprecations: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const [, name, said] = /^warning: use of deprecated [\w ]+ `(.+?)`(.*)$/.exec(text) ?? [];
    if (name === undefined) return [];
    const [, file, line] = matchWithin(lines, at + 1, 3, /^\s*--> (\S+?):(\d+):\d+$/) ?? [];
    return [deprecation(name, `${name} is deprecated${said}`, file, line)];
  });

export const deprecations: Analyser = (seen) => [
  ...seen.lines.flatMap((text) => {
    for (const [pattern, read] of deprecationLines) {
      const match = pattern.exec(text);
      if (match) return [read(match)];
    }
    return [];
  }),
  ...rustDeprecations(seen),
];

const worthOf = (severity: string | undefined): Finding['worth'] => {
  switch (severity?.toLowerCase()) {
    case 'critical':
    case 'high':
      return 5;
    case 'low':
    case 'info':
      return 3;
    default:
      return 4;
  }
};

const advisory = /\b(GHSA(?:-[23456789cfghjmpqrvwx]{4}){3}|CVE-\d{4}-\d{4,7}|RUSTSEC-\d{4}-\d{4}|GO-\d{4}-\d{4,5}|PYSEC-\d{4}-\d+)\b/;

/** `lodash  <=4.17.20`, `Severity: high`, then one line for each advisory. */
const npmAudit: Analyser = ({ lines }) => {
  const begin = lines.findIndex((line) => line.startsWith('# npm audit report'));
  if (begin < 0) return [];
  let name: string | undefined;
  let severity: string | undefined;
  return lines.slice(begin + 1).flatMap((text) => {
    const heading = /^(@?[\w./-]+) {2}\S/.exec(text)?.[1];
    if (heading !== undefined) {
      name = heading;
      severity = undefined;
    }
    severity = /^Severity: (\w+)$/.exec(text)?.[1] ?? severity;
    const id = advisory.exec(text)?.[1];
    if (name === undefined || id === undefined) return [];
    const title = text.split(' - http')[0]?.trim() ?? text;
    return [found('security', `${name} ${id}`, `${name}: ${title} (${severity ?? 'unknown severity'}, ${id})`, worthOf(severity))];
  });
};

/** Bandit: `>> Issue: [B602:subprocess…] …`, with severity and place below. */
const bandit: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const [, code, said] = /^>> Issue: \[(B\d+):[\w-]+\] (.+)$/.exec(text) ?? [];
    if (code === undefined || said === undefined) return [];
    const severity = matchWithin(lines, at + 1, 3, /^\s+Severity: (\w+)/)?.[1];
    const [, file, line] = matchWithin(lines, at + 1, 6, /^\s+Location: (\S+?):(\d+)/) ?? [];
    return [found('security', code, said, severity === 'Low' ? 2 : worthOf(severity), file, line)];
  });

/** Whoever else tells of a known weakness names it by its number: pip-audit, cargo audit, govulncheck, scanners of images. */
const byNumber: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const id = advisory.exec(text)?.[1];
    if (id === undefined || /^(?:https?:|\s*More info:|\s*URL:)/.test(text)) return [];
    // cargo audit and govulncheck have a block for each, with its number on a line of its own.
    const block = /^(?:ID:|Vulnerability #)/.test(text) ? lines.slice(Math.max(0, at - 3), at + 4) : [];
    const said = block.flatMap((each) => /^\s*(?:Crate|Title|Module):\s+(.+)$/.exec(each)?.[1] ?? []).join(': ');
    return [found('security', id, said === '' ? text : `${said} (${id})`, worthOf(/\b(critical|high|low)\b/i.exec(text)?.[1]))];
  });

export const securityWarnings: Analyser = (seen) => {
  const audit = npmAudit(seen);
  const told = new Set(audit.map(({ code }) => code.split(' ').at(-1)));
  return [...audit, ...bandit(seen), ...byNumber(seen).filter(({ code }) => !told.has(code))];
};

/** What would make the next run, or the product, better without being wrong today. */
const chanceLines: readonly (readonly [RegExp, (match: RegExpExecArray) => Finding])[] = [
  [
    /^\s*(\d+) errors? and (\d+) warnings? potentially fixable with the `--fix` option/,
    ([, errors, warnings]) =>
      found('improvement', 'eslint --fix', `ESLint could mend ${errors} errors and ${warnings} warnings by itself (--fix).`, 2),
  ],
  [
    /^\(!\) Some chunks are larger than (\S+ kB) after minification/,
    ([, size]) => found('improvement', 'large-chunks', `The build has chunks of more than ${size}; they could be split.`, 2),
  ],
  [
    /^(?:warning: )?.*\(run `cargo (?:clippy --)?fix .*?` to apply (\d+) suggestions?\)/,
    ([, count]) => found('improvement', 'cargo fix', `The compiler could mend ${count} warnings by itself (cargo fix).`, 2),
  ],
  [
    /^Browserslist: (?:browsers data|caniuse-lite) .*(?:old|outdated)/,
    () => found('improvement', 'browserslist', 'The list of browsers (caniuse-lite) is out of date.', 1),
  ],
];

export const chances: Analyser = ({ lines }) =>
  lines.flatMap((text) => {
    for (const [pattern, read] of chanceLines) {
      const match = pattern.exec(text);
      if (match) return [read(match)];
    }
    return [];
  });
