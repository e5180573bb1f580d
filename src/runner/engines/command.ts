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

    async *run({ task, runId, directory, env, wrap }, signal): AsyncGenerator<EngineEvent> {
      const argv = parseCommand(task.body ?? '');
      if (!argv) {
        yield { type: 'outcome', outcome: failed('invalid-command', 'The body is not a command.') };
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
      try {
        for await (const data of merged(command)) yield { type: 'run.output', data };
        await cleared;
        yield { type: 'outcome', outcome: outcomeOf(await command.exit, argv) };
      } finally {
        abandoned.abort();
      }
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
