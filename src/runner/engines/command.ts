import { parseCommand } from '../../domain/command-line.ts';
import { failed, hostUnfit, type Outcome } from '../../domain/outcome.ts';
import type { Clock } from '../../platform/clock.ts';
import { type Exit, start } from '../../platform/subprocess.ts';
import { clearAway, sweepRun } from '../clear-away.ts';
import { merged } from '../merged.ts';
import type { Engine, EngineEvent } from './engine.ts';

/**
 * Runs the task's body as a program with arguments, never through a shell. Exit code 0 is success;
 * 75 (EX_TEMPFAIL) asks to be tried again; any other is a failure for good.
 */
export function commandEngine(clock: Clock): Engine {
  return {
    name: 'command',
    converses: false,

    refuses({ body }) {
      if (body !== null && parseCommand(body)) return undefined;
      return 'the command engine runs the body as a command: give a JSON array of arguments, such as ["npm", "test"], or a command line with closed quotes';
    },

    async *run({ task, runId, directory, env, wrap, watch }, signal): AsyncGenerator<EngineEvent> {
      const wished = parseCommand(task.body ?? '');
      if (!wished) {
        yield { type: 'outcome', outcome: failed('invalid-command', 'The body is not a command.') };
        return;
      }
      const tool = { call: runId, name: 'command', input: { command: wished }, bySubagent: false };
      const verdict = watch?.wants('pre-tool') ? await watch.ask({ point: 'pre-tool', tool }) : { allow: true as const };
      const argv = verdict.allow ? argvIn(verdict.input ?? tool.input) : undefined;
      if (!argv) {
        const why = verdict.allow ? 'A hook put something in place of the command that is none.' : verdict.reason;
        yield { type: 'outcome', outcome: failed('denied', why) };
        return;
      }
      if (signal.aborted) {
        yield { type: 'outcome', outcome: { kind: 'cancelled' } };
        return;
      }
      const wrapped = wrap?.({ argv, cwd: directory, env }) ?? { ok: true as const, command: { argv, cwd: directory, env } };
      if (!wrapped.ok) {
        yield { type: 'outcome', outcome: wrapped.outcome };
        return;
      }
      // A reader that goes away in the middle takes the program with it.
      const abandoned = new AbortController();
      const until = AbortSignal.any([signal, abandoned.signal]);
      const command = start(wrapped.command, clock, until);
      const cleared = clearAway(command, () => sweepRun(runId), clock, until);
      cleared.catch(() => undefined); // what it has to say is heard below, if anybody still listens
      const began = clock.monotonic();
      const output = watch?.wants('tool-complete') ? keepEnds() : undefined;
      try {
        for await (const data of merged(command)) {
          output?.add(data.text);
          yield { type: 'run.output', data };
        }
        await cleared;
        const exit = await command.exit;
        if (output) {
          const end = {
            ...output.kept(),
            failed: exit.kind !== 'exited' || exit.code !== 0,
            durationMs: Math.round(clock.monotonic() - began),
          };
          await watch?.tell({ point: 'tool-complete', tool: { ...tool, input: { command: argv }, ...end } });
        }
        yield { type: 'outcome', outcome: outcomeOf(exit, argv) };
      } finally {
        abandoned.abort();
      }
    },
  };
}

/** What a hook left or put in place of the command. */
function argvIn({ command }: Readonly<Record<string, unknown>>): readonly string[] | undefined {
  return Array.isArray(command) || typeof command === 'string'
    ? parseCommand(typeof command === 'string' ? command : JSON.stringify(command))
    : undefined;
}

const keptCharacters = 32_000;

/** The beginning and the end of what a program prints. */
function keepEnds(): { add(text: string): void; kept(): { readonly output: string; readonly outputSize: number } } {
  let beginning = '';
  let end = '';
  let size = 0;
  return {
    add(text) {
      size += text.length;
      const room = keptCharacters - beginning.length;
      if (room > 0) beginning += text.slice(0, room);
      const rest = room > 0 ? text.slice(room) : text;
      end = rest.length >= keptCharacters ? rest.slice(-keptCharacters) : (end + rest).slice(-keptCharacters);
    },
    kept() {
      const left = size - beginning.length - end.length;
      return { output: left > 0 ? `${beginning}\n[… ${left} characters left out …]\n${end}` : beginning + end, outputSize: size };
    },
  };
}

const tryAgain = 75;

function outcomeOf(exit: Exit, argv: readonly string[]): Outcome {
  switch (exit.kind) {
    case 'exited':
      if (exit.code === 0) return { kind: 'succeeded', summary: `${argv[0]} exited with 0` };
      return failed(`exit-${exit.code}`, `${argv[0]} exited with ${exit.code}.`, exit.code === tryAgain);
    case 'killed':
      return failed('killed', `${argv[0]} was killed by ${exit.signal}.`, true);
    case 'not-started':
      if (exit.host) return hostUnfit(`${argv[0]} could not be started: ${exit.message}.`);
      return failed('not-started', `${argv[0]} could not be started: ${exit.message}.`);
  }
}
