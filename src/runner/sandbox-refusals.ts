import { isAbsolute, normalize } from 'node:path';
import { bySandbox } from '../domain/round.ts';
import { countsIn } from '../gates/test-report.ts';
import type { EngineEvent } from './engines/engine.ts';

export interface SandboxRefusalsParts {
  /** What may be written in the sandbox. A refusal in there is the doing of whoever set the modes of its files. */
  readonly writable: readonly string[];
  /** Hosts that the run's way out has refused so far. */
  readonly refusedHosts: ReadonlySet<string>;
}

/** What the sandbox refused in one round, as the tools tell it. */
export interface SandboxRefusals {
  /** `again`: it was told in this round. An agent that tries again at once learns nothing new by it, one that comes back in another round does. */
  see(event: EngineEvent): { readonly denied: Denied; readonly again: boolean } | undefined;
}

type Denied = Extract<EngineEvent, { type: 'run.denied' }>;

interface Refusal {
  /** The complaint, as it was made. */
  readonly reason: string;
  /** What was wanted: a path, a host. */
  readonly target: string;
}

/**
 * A kernel refuses without telling whom, so this reads what the tools say, and must not take an ordinary failure for a refusal:
 * a test that prints EACCES has been refused nothing. Only a call that failed counts, and there only the words of the engine's
 * own tools, or a line in which a program that the command itself names complains, in the form that such programs have
 * (`touch: …: Read-only file system`). Whatever a program that those start has to say does not count, nor do commands that
 * counted tests, nor what lies where the agent may write. What is missed by that costs rounds; the other way round, work that
 * goes well would be given up.
 */
export function sandboxRefusals(parts: SandboxRefusalsParts): SandboxRefusals {
  const open = new Map<string, unknown>();
  const told = new Set<string>();
  return {
    see(event) {
      if (event.type === 'run.tool-started') open.set(event.data.call, event.data.input);
      if (event.type !== 'run.tool-finished') return undefined;
      const { call, tool, failed, output } = event.data;
      const input = open.get(call);
      open.delete(call);
      const refusal = failed ? refusalIn(parts, tool, input, output) : undefined;
      if (!refusal) return undefined;
      const key = JSON.stringify([tool, refusal.target]);
      const again = told.has(key);
      told.add(key);
      return { denied: { type: 'run.denied', data: { call, tool, by: bySandbox, ...refusal } }, again };
    },
  };
}

function refusalIn(parts: SandboxRefusalsParts, tool: string, input: unknown, output: string): Refusal | undefined {
  if (tool === 'Bash') {
    const command = fieldOf(input, 'command');
    return command === undefined ? undefined : refusedCommand(parts, command, output);
  }
  const [, domain] = /^Unable to verify if domain (\S{1,253}) is safe to fetch/.exec(output) ?? [];
  if (tool === 'WebFetch' && domain !== undefined) return { reason: oneLine(output), target: domain };
  const path = fieldOf(input, 'file_path') ?? fieldOf(input, 'notebook_path');
  if (path === undefined || !/^(?:EROFS|EACCES|EPERM): /.test(output) || isWithin(path, parts.writable)) return undefined;
  return { reason: oneLine(output), target: oneLine(path) };
}

function refusedCommand(parts: SandboxRefusalsParts, command: string, output: string): Refusal | undefined {
  if (countsIn(output) !== null) return undefined;
  for (const line of complaintsIn(command, output)) {
    const target = refusedPath(line, parts.writable) ?? refusedHost(line, command, parts.refusedHosts);
    if (target !== undefined) return { reason: oneLine(line), target };
  }
  return undefined;
}

const longestLine = 500;

/** Lines in which a program speaks that stands in the command, or the shell that reads it. */
function complaintsIn(command: string, output: string): readonly string[] {
  const named = new Set(command.match(/[\w.+-]+/g));
  const speaks = (line: string): boolean => {
    const [, speaker = ''] = /^(?:\/[\w/.-]*\/)?([\w.+-]+)(?:\[\d+\])?: /.exec(line) ?? [];
    if (speaker === 'bash' || named.has(speaker)) return true;
    if (speaker === 'fatal') return named.has('git');
    if (speaker === 'ERROR') return named.has('pip') || named.has('pip3');
    return named.has('npm') && /^npm (?:error|ERR!) /.test(line);
  };
  return output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.length <= longestLine && speaks(line));
}

/** Programs that unpack or copy try to keep owners, which is nothing that anybody asked for. */
const inPassing = /owner|group|preserv|utime|\btimes?\b/i;

function refusedPath(line: string, writable: readonly string[]): string | undefined {
  if (inPassing.test(line)) return undefined;
  const [path] = /(?<=^|[\s'"‘(])\/[^\s'"’:)]+/.exec(line.replace(/^\S+ /, ' ')) ?? [];
  if (path !== undefined && isWithin(path, writable)) return undefined;
  if (/: Read-only file system\b|\bEROFS\b/.test(line)) return path ?? line;
  if (/: Operation not permitted\b|\bEPERM\b/.test(line)) return path ?? line;
  // Of a relative path it is for the agent itself to say who may do what.
  return /: Permission denied\b|\bEACCES\b/.test(line) ? path : undefined;
}

const unresolved = [
  /\bCould not resolve (?:host|proxy): ([\w.-]+)/,
  /\bCould not resolve hostname ([\w.-]+)/,
  /\bgetaddrinfo (?:EAI_AGAIN|ENOTFOUND) ([\w.-]+)/,
  /\bunable to resolve host address ['‘"]?([\w.-]+)/,
];

/** There is no network but the run's way out: no name leads anywhere, and what that refuses comes back as a failure of the command. */
function refusedHost(line: string, command: string, refused: ReadonlySet<string>): string | undefined {
  for (const form of unresolved) {
    const [, host] = form.exec(line) ?? [];
    if (host !== undefined) return host;
  }
  const named = `${command} ${line}`.match(/[\w.-]+/g) ?? [];
  return named.find((word) => refused.has(word));
}

const isWithin = (path: string, places: readonly string[]): boolean =>
  !isAbsolute(path) || places.some((place) => `${normalize(path)}/`.startsWith(`${place}/`));

function fieldOf(input: unknown, name: string): string | undefined {
  const value = typeof input === 'object' && input !== null ? (input as Readonly<Record<string, unknown>>)[name] : undefined;
  return typeof value === 'string' ? value : undefined;
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim().slice(0, longestLine).toWellFormed();
