import { type ClientFlags, clientFlags } from './connect.ts';
import { taskOrRunId } from './ids.ts';
import { type Define, examples } from './session.ts';
import { recount, watch } from './watch.ts';

interface Flags extends ClientFlags {
  readonly follow?: true;
}

export const define: Define = (command, session) => {
  command
    .argument('<id>', 'a task (all its attempts) or a run')
    .option('-f, --follow', 'stay, and show what comes until it is over; survives restarts of the server');
  examples(
    clientFlags(command),
    'nightshift logs -f tsk_01KEXAMPLE000000000000000',
    'nightshift logs run_01KEXAMPLE000000000000000 > output.txt',
  )
    .addHelpText(
      'after',
      '\nWhat the run wrote to standard output and standard error goes to the same of this command;\nremarks about the run go to standard error.',
    )
    .action(async (text: string, flags: Flags) => {
      const watched = taskOrRunId(text);
      if (flags.follow) await watch(session, flags, watched);
      else await recount(session, flags, watched);
    });
};
