import { workspaceStatuses } from '../domain/workspace.ts';
import type { Page, Workspace } from './api.ts';
import type { Client } from './client.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { tryEach } from './each.ts';
import { workspaceId } from './ids.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { age, styleOf } from './wording.ts';

interface Flags extends ClientFlags {
  readonly status?: string;
}

const pageLimit = 200;

export const define: Define = (command, session) => {
  command.option('-s, --status <status>', `only these, separated by commas: ${workspaceStatuses.join(', ')} (default: all but removed)`);
  examples(
    clientFlags(command),
    'nightshift workspaces --status active',
    'nightshift workspaces --json | jq -r ".items[].path"',
    'nightshift workspaces rm wsp_01KEXAMPLE000000000000000',
  ).action(async (flags: Flags) => {
    const page = await collect(connect(flags, session), flags);
    if (flags.json) return session.screen.json(page);
    show(session, page.items);
  });

  const removal = clientFlags(
    command
      .command('rm')
      .description("remove workspaces' files; the commits that were made stay in the mirror")
      .argument('<id...>', 'workspaces whose run is over'),
  );
  removal.action((ids: readonly string[]) =>
    tryEach(
      session,
      removal.optsWithGlobals<ClientFlags>(),
      ids.map(workspaceId),
      async (client, id) => {
        await client.delete(`/api/workspaces/${id}`);
        return { id };
      },
      ({ id }) => `${id}  removed`,
    ),
  );
};

async function collect(client: Client, { status }: Flags): Promise<Page<Workspace>> {
  const items: Workspace[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({
      limit: String(pageLimit),
      ...(status === undefined ? {} : { status: status.replaceAll(/\s/g, '') }),
      ...(cursor === null ? {} : { cursor }),
    });
    const page: Page<Workspace> = await client.get(`/api/workspaces?${query}`);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return { items, nextCursor: null };
}

function show({ screen, terminal }: Session, items: readonly Workspace[]): void {
  if (items.length === 0 && screen.rich) {
    screen.line('No workspaces. A run makes one when its task names a repository.');
    return;
  }
  const now = terminal.clock.now();
  screen.table(
    ['ID', 'STATUS', 'AGE', 'TASK', 'REPOSITORY'],
    items.map((workspace) => [
      workspace.id,
      { text: workspace.status, style: styleOf(workspace.status) },
      screen.rich ? age(workspace.createdAt, now) : workspace.createdAt,
      workspace.taskId,
      oneLine(workspace.repository),
    ]),
  );
}
