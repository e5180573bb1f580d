import { Option } from 'commander';
import { priorities, taskStatuses } from '../domain/task.ts';
import type { Page, Task } from './api.ts';
import type { Client } from './client.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { misused } from './failure.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { age, styleOf } from './wording.ts';

interface Flags extends ClientFlags {
  readonly status?: string;
  readonly priority?: string;
  readonly source?: string;
  readonly repository?: string;
  readonly limit: string;
  readonly all?: true;
}

const pageLimit = 200;

export const define: Define = (command, session) => {
  command
    .option('-s, --status <status>', `only these, separated by commas: ${taskStatuses.join(', ')}`)
    .addOption(new Option('-p, --priority <level>', 'only this priority').choices(priorities))
    .option('--source <source>', 'only from this source')
    .option('-r, --repository <url|path>', 'only for this repository')
    .option('-n, --limit <count>', 'how many', '50')
    .option('-a, --all', 'all of them');
  examples(
    clientFlags(command),
    'nightshift tasks --status running,queued',
    'nightshift tasks --all --json | jq -r ".items[].id"',
    'nightshift tasks --status failed | cut -f1 | xargs nightshift retry',
  ).action(async (flags: Flags) => {
    const page = await collect(connect(flags, session), flags);
    if (flags.json) return session.screen.json(page);
    show(session, page);
  });
};

/** A page of the server may be short of its limit and still have a next one, so this asks until there is enough. */
async function collect(client: Client, flags: Flags): Promise<Page<Task>> {
  const wanted = flags.all ? Number.POSITIVE_INFINITY : limitOf(flags.limit);
  const items: Task[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<Task> = await client.get(`/api/tasks?${queryOf(flags, Math.min(pageLimit, wanted - items.length), cursor)}`);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null && items.length < wanted);
  return { items, nextCursor: cursor };
}

function queryOf({ status, priority, source, repository }: Flags, limit: number, cursor: string | null): URLSearchParams {
  const given = { status: status?.replaceAll(/\s/g, ''), priority, source, repository, limit: String(limit), cursor: cursor ?? undefined };
  return new URLSearchParams(Object.entries(given).filter((pair): pair is [string, string] => pair[1] !== undefined));
}

function limitOf(text: string): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit > 0) return limit;
  throw misused(`--limit must be a whole number above 0, not ${JSON.stringify(text)}.`);
}

function show({ screen, terminal }: Session, { items, nextCursor }: Page<Task>): void {
  if (items.length === 0 && screen.rich) {
    screen.line('No tasks. `nightshift new "…"` makes one.');
    return;
  }
  const now = terminal.clock.now();
  screen.table(
    ['ID', 'STATUS', 'PRIORITY', 'AGE', 'TITLE'],
    items.map((task) => [
      task.id,
      { text: task.status, style: styleOf(task.status) },
      { text: task.priority, style: task.priority === 'high' ? 'bold' : undefined },
      screen.rich ? age(task.createdAt, now) : task.createdAt,
      oneLine(task.title),
    ]),
  );
  if (nextCursor !== null) screen.remark(screen.paintRemark('dim', 'There are more: --all lists every one, --limit COUNT so many.'));
}
