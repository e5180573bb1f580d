import type { Finding } from '../../domain/finding.ts';
import type { ToolEnd } from '../hooks/hook.ts';
import { compileErrors } from './compilers.ts';
import { crashes } from './crashes.ts';
import { type Analyser, found, linesOf, type Seen } from './seen.ts';
import { testFailures } from './tests.ts';
import { chances, deprecations, securityWarnings } from './warnings.ts';
import { todosLeft } from './written.ts';

/** A command that takes longer is worth a word. */
export const slowMs = 120_000;
/** What one use of a tool may tell; a thousand errors are one trouble. */
const mostFindings = 30;

/** What one use of a tool shows, most important first, each thing once. Pure. */
export function examine(seen: Seen): readonly Finding[] {
  const findings = [...todosLeft(seen), ...slow(seen), ...(seen.command === null || onlyReads(seen.command) ? [] : inOutput(seen))];
  const once = new Map(findings.map((each) => [`${each.category}\n${each.code}\n${each.message}`, each]));
  return [...once.values()].sort((a, b) => b.worth - a.worth).slice(0, mostFindings);
}

function inOutput(seen: Seen): readonly Finding[] {
  const failures = testFailures(seen);
  const rest: readonly Analyser[] = [compileErrors, deprecations, securityWarnings, chances];
  return [
    ...failures,
    // A failed test prints its error with the calls that led to it: that is no second trouble.
    ...(failures.length > 0 ? [] : crashes(seen)),
    ...rest.flatMap((analyser) => analyser(seen)),
  ];
}

function slow({ command, durationMs }: Seen): readonly Finding[] {
  if (command === null || durationMs === null || durationMs < slowMs) return [];
  const minutes = (durationMs / 60_000).toFixed(1);
  return [found('slow-command', headOf(command), `It took ${minutes} minutes: ${command}`, 2)];
}

/** Tools that run what they are told to. What others answer is text of files and pages, in which anything may stand. */
const runners = new Set(['Bash', 'BashOutput', 'TaskOutput', 'command']);

/**
 * A use of a tool as the analysers see it. Paths are as seen from `directory`, in which the run works: that is another one in
 * each run, and what is found again shall be recognised.
 */
export function seenIn({ name, input, output, failed, durationMs }: Used, directory: string | undefined): Seen {
  const within = (text: string): string =>
    directory === undefined ? text : text.replaceAll(`file://${directory}/`, '').replaceAll(`${directory}/`, '');
  const fields = typeof input === 'object' && input !== null ? (input as Readonly<Record<string, unknown>>) : {};
  const { command = name } = fields;
  return {
    tool: name,
    command: runners.has(name) ? within(Array.isArray(command) ? command.join(' ') : String(command)) : null,
    lines: linesOf(within(output)),
    failed,
    durationMs,
    written: failed ? [] : writtenBy(fields).map(({ file, lines }) => ({ file: within(file), lines })),
  };
}

type Used = Pick<ToolEnd, 'name' | 'input' | 'output' | 'failed' | 'durationMs'>;

/** By tools that write files: whole ones, or one text in place of another. */
function writtenBy(input: Readonly<Record<string, unknown>>): Seen['written'] {
  const { file_path: file, content, old_string: before, new_string: after, edits } = input;
  if (typeof file !== 'string') return [];
  const changes: readonly Readonly<Record<string, unknown>>[] = Array.isArray(edits)
    ? edits.filter((each) => typeof each === 'object' && each !== null)
    : [{ old_string: typeof content === 'string' ? '' : before, new_string: typeof content === 'string' ? content : after }];
  return changes.flatMap(({ old_string: old, new_string: now }) => {
    if (typeof now !== 'string') return [];
    const known = new Set(linesOf(typeof old === 'string' ? old : ''));
    return [{ file, lines: linesOf(now).filter((line) => !known.has(line)) }];
  });
}

const readers = new Set(
  [
    'cat',
    'head',
    'tail',
    'less',
    'more',
    'grep',
    'egrep',
    'rg',
    'ag',
    'find',
    'ls',
    'tree',
    'wc',
    'sort',
    'uniq',
    'cut',
    'tr',
    'jq',
  ].concat(['echo', 'printf', 'cd', 'pwd', 'stat', 'file', 'diff', 'sed', 'awk', 'nl', 'true', 'which', 'env', 'printenv', 'date']),
);
const readingGit = /^git (?:--no-pager )?(?:log|show|diff|blame|grep|status|ls-files|cat-file)\b/;

/** It shows what stands somewhere and does nothing: what is printed was not found by it. */
function onlyReads(command: string): boolean {
  const parts = command.split(/&&|\|\|?|;|\n/).flatMap((part) => part.trim() || []);
  return parts.length > 0 && parts.every((part) => readers.has(part.split(/\s/)[0] as string) || readingGit.test(part));
}

/** What a command is, without what it is told beside that: the same for `npm test` and `CI=1 npm test -- --watch=false`. */
export function headOf(command: string): string {
  const part = command.split(/&&|;|\n/).findLast((each) => !/^\s*(?:cd|export|set)\b/.test(each) && each.trim() !== '') ?? command;
  const words = part.split('|')[0]?.trim().split(/\s+/) ?? [];
  const begin = words.findIndex((word) => !/^\w+=/.test(word));
  const [program = '', next = '', after = ''] = words.slice(Math.max(0, begin));
  if (/^(?:run|exec|-m|x|dlx|--)$/.test(next)) return [program, next, after].join(' ').trim();
  return /^[\w:-]+$/.test(next) && !next.startsWith('-') ? `${program} ${next}` : program;
}
