import type { CommandEnd } from './gate.ts';
import { countsIn } from './test-report.ts';

/** Signs that a program, a package or the network was missing, rather than that something is wrong with the files. */
const signs: readonly RegExp[] = [
  /^.{0,200}: (?:command )?not found$/,
  /^(?:env|make|\/usr\/bin\/env|exec)\b.{0,200}: No such file or directory$/,
  /^make(?:\[\d+\])?: \*\*\* .{0,200} Error 127$/,
  /^\S{0,200}python[\d.]*: No module named ['"]?[\w.]+/,
  /\bgetaddrinfo E(?:AI_AGAIN|NOTFOUND)\b/,
  /\bCould not resolve (?:host|proxy)\b/,
  /\bTemporary failure in name resolution\b/,
  /\bdial tcp: lookup \S{1,200}/,
];

/** What a shell or a sandbox exits with that found no program, or one that it may not start. */
const exitCodes: ReadonlyMap<number | null, string> = new Map([
  [126, 'the program may not be started'],
  [127, 'the program is not installed'],
]);

/** Undefined when it ran: then whatever it says is about the files. Tests that were counted have run. */
export function whyItCannotRun({ exitCode, timedOut, output }: Extract<CommandEnd, { kind: 'ended' }>): string | undefined {
  if (exitCode === 0 || timedOut || countsIn(output) !== null) return undefined;
  const lines = output.split('\n').map((line) => line.slice(0, 500).trim());
  const said = lines.find((line) => signs.some((sign) => sign.test(line)));
  return said ?? exitCodes.get(exitCode);
}
