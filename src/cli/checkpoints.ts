import type { Checkpoint } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { runId } from './ids.ts';
import { oneLine } from './legible.ts';
import { type Define, examples } from './session.ts';
import { age } from './wording.ts';

export const define: Define = (command, session) => {
  examples(
    clientFlags(command.argument('<run>', 'a run')),
    'nightshift checkpoints run_01KEXAMPLE000000000000000',
    'nightshift checkpoints run_01KEXAMPLE000000000000000 --json | jq -r ".items[-1].id"',
  ).action(async (text: string, flags: ClientFlags) => {
    const id = runId(text);
    const page = await connect(flags, session).get<{ readonly items: readonly Checkpoint[] }>(`/api/runs/${id}/checkpoints`);
    const { screen, terminal } = session;
    if (flags.json) return screen.json(page);
    if (page.items.length === 0 && screen.rich) {
      screen.line('No checkpoints. A run with a repository makes them as it goes, and they go with its workspace.');
      return;
    }
    const now = terminal.clock.now();
    screen.table(
      ['ID', 'NUMBER', 'KIND', 'AGE', 'NOTE'],
      page.items.map(({ id: checkpoint, number, kind, at, note }) => [
        checkpoint,
        String(number),
        { text: kind, style: kind === 'green' ? 'green' : 'dim' },
        screen.rich ? age(at, now) : at,
        oneLine(note),
      ]),
    );
  });
};
