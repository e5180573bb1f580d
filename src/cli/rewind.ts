import type { Checkpoint } from './api.ts';
import type { Client } from './client.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { exits, Failure } from './failure.ts';
import { checkpointId, runId } from './ids.ts';
import { oneLine } from './legible.ts';
import { type Define, examples } from './session.ts';

interface Rewound {
  readonly checkpoint: Checkpoint;
  readonly before: Pick<Checkpoint, 'id' | 'runId' | 'number'> | null;
}

export const define: Define = (command, session) => {
  examples(
    clientFlags(command.argument('<run>', 'a run that is over').argument('<checkpoint>', 'the id or the number of one of its checkpoints')),
    'nightshift rewind run_01KEXAMPLE000000000000000 3',
    'nightshift rewind run_01KEXAMPLE000000000000000 chk_01KEXAMPLE000000000000000',
  ).action(async (text: string, wanted: string, flags: ClientFlags) => {
    const id = runId(text);
    const client = connect(flags, session);
    const checkpoint = /^\d+$/.test(wanted) ? await numbered(client, id, Number(wanted)) : checkpointId(wanted);
    const { body } = await client.send<Rewound>('POST', `/api/runs/${id}/rewind`, { checkpoint });
    const { screen } = session;
    if (flags.json) return screen.json(body);
    screen.line(`${body.checkpoint.id}  rewound to ${body.checkpoint.number}: ${oneLine(body.checkpoint.note)}`);
    screen.remark(
      body.before
        ? `What that replaced is kept: nightshift rewind ${body.before.runId} ${body.before.number}`
        : 'The files were like that already.',
    );
  });
};

async function numbered(client: Client, run: string, number: number): Promise<string> {
  const { items } = await client.get<{ readonly items: readonly Checkpoint[] }>(`/api/runs/${run}/checkpoints`);
  const found = items.find((each) => each.number === number);
  if (found) return found.id;
  throw new Failure(
    exits.refused,
    'no-such-checkpoint',
    `The run ${run} has no checkpoint ${number}. \`nightshift checkpoints ${run}\` lists them.`,
  );
}
