import { priorities, taskStatuses } from '../domain/task.ts';
import type { QueueState } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import type { Cell } from './terminal.ts';
import { age, plural, styleOf } from './wording.ts';

export const define: Define = (command, session) => {
  examples(clientFlags(command), 'nightshift status', 'nightshift status --json | jq .paused').action(async (flags: ClientFlags) => {
    const client = connect(flags, session);
    const queue = await client.get<QueueState>('/api/queue');
    if (flags.json) return session.screen.json({ address: client.address, ...queue });
    show(session, client.address, queue);
  });
};

function show({ screen, terminal }: Session, address: string, { paused, open, nodes }: QueueState): void {
  const total = open.reduce((sum, { count }) => sum + count, 0);
  const state = paused ? screen.paint('yellow', 'paused') : screen.paint('green', 'working');
  screen.line(`${state}, ${plural(total, 'open task')}, ${plural(nodes.length, 'node')}, ${address}`);
  if (total > 0) {
    screen.line();
    screen.table(['STATUS', ...priorities.map((each) => each.toUpperCase())], rowsOf(open));
  }
  screen.line();
  screen.table(
    ['NODE', 'UP', 'ADDRESS'],
    nodes.map(({ id, startedAt, address: at }) => [id, screen.rich ? age(startedAt, terminal.clock.now()) : startedAt, oneLine(at ?? '')]),
  );
  if (paused) screen.remark('`nightshift resume` lets work go on.');
}

function rowsOf(open: QueueState['open']): readonly (readonly Cell[])[] {
  const count = (status: string, priority: string): number =>
    open.find((each) => each.status === status && each.priority === priority)?.count ?? 0;
  return taskStatuses
    .filter((status) => open.some((each) => each.status === status))
    .map((status) => [{ text: status, style: styleOf(status) }, ...priorities.map((priority) => String(count(status, priority)))]);
}
