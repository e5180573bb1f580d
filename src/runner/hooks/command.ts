import type { Clock } from '../../platform/clock.ts';
import { type Exit, start, sweep } from '../../platform/subprocess.ts';
import { clearAway, hookMarker, runMarker } from '../clear-away.ts';
import { merged } from '../merged.ts';
import { type Hook, type HookAnswer, type HookFacts, Unasked } from './hook.ts';

export interface ProgramParts {
  readonly clock: Clock;
  /** Where a hook works when its run has no place. */
  readonly directory: string;
  /** What it sees of the server's environment, with the marker of the node. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Answered {
  readonly exit: Extract<Exit, { kind: 'exited' }>;
  /** The document in what it printed: all of it, or else the last line. */
  readonly document: Readonly<Record<string, unknown>> | undefined;
  /** The end of its standard error. */
  readonly said: string;
}

const stdoutLimit = 1024 * 1024;
const stderrLimit = 1_500;

/**
 * A program of the operator's, which gets the facts on its standard input. It goes on when it exits with 0, unless a
 * document on its standard output says otherwise; with any other code it objects, and the end of its standard error is why.
 */
export function commandHook({ argv, ...hook }: Omit<Hook, 'run'> & { readonly argv: readonly string[] }, parts: ProgramParts): Hook {
  return {
    ...hook,
    async run(facts, signal) {
      const { exit, document, said } = await ask(hook.id, argv, facts, parts, signal);
      const answer = document && 'allow' in document ? (document as unknown as HookAnswer) : undefined;
      if (exit.code === 0 || document?.['allow'] === false) return answer;
      return { allow: false, reason: said === '' ? `${argv[0]} exited with ${exit.code}.` : said };
    },
  };
}

/** Runs a program to its end with the facts as its input, and ends whatever it leaves behind. Throws when it was killed or never ran. */
export async function ask(
  id: string,
  argv: readonly string[],
  facts: HookFacts,
  { clock, directory, env }: ProgramParts,
  signal: AbortSignal,
): Promise<Answered> {
  const mark = `${facts.run.id}/${facts.point}/${id}`;
  const clear = (): Promise<number> => sweep((variable) => variable === `${hookMarker}=${mark}`);
  const abandoned = new AbortController();
  const until = AbortSignal.any([signal, abandoned.signal]);
  const command = start(
    {
      argv,
      cwd: facts.workspace?.directory ?? directory,
      env: { ...env, NIGHTSHIFT_TASK_ID: facts.task.id, [runMarker]: facts.run.id, [hookMarker]: mark },
      input: JSON.stringify(facts),
    },
    clock,
    until,
  );
  const cleared = clearAway(command, clear, clock, until);
  cleared.catch(() => undefined); // heard below, unless the reading fails first
  const ends = { stdout: '', stderr: '' };
  try {
    for await (const { stream, text } of merged(command)) {
      ends[stream] = (ends[stream] + text).slice(stream === 'stdout' ? -stdoutLimit : -stderrLimit);
    }
    await cleared;
  } finally {
    abandoned.abort();
    await command.exit;
    await clear();
  }
  const exit = await command.exit;
  const said = ends.stderr.trim();
  if (exit.kind === 'not-started') throw new (exit.host ? Unasked : Error)(`${argv[0]} could not be started: ${exit.message}.`);
  if (exit.kind === 'killed') throw new Error(`${argv[0]} was killed by ${exit.signal}. ${said}`);
  return { exit, document: documentIn(ends.stdout.trim()), said };
}

function documentIn(text: string): Answered['document'] {
  return [text, text.slice(text.lastIndexOf('\n') + 1)].map(parsed).find((value) => typeof value === 'object' && value !== null) as
    | Answered['document']
    | undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
