import { priorities, taskStatuses } from '../domain/task.ts';
import type { Providers, QueueState } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import type { Cell } from './terminal.ts';
import { age, bytes, plural, styleOf } from './wording.ts';

export const define: Define = (command, session) => {
  examples(clientFlags(command), 'nightshift status', 'nightshift status --json | jq .paused').action(async (flags: ClientFlags) => {
    const client = connect(flags, session);
    const [queue, models] = await Promise.all([client.get<QueueState>('/api/queue'), client.get<Providers>('/api/providers')]);
    if (flags.json) return session.screen.json({ address: client.address, ...queue, models });
    show(session, client.address, queue);
    showModels(session, models);
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
    ['NODE', 'UP', 'MEMORY', 'LOAD', 'DISK', 'ADDRESS'],
    nodes.map(({ id, startedAt, address: at, machine }) => [
      id,
      screen.rich ? age(startedAt, terminal.clock.now()) : startedAt,
      machine ? `${bytes(machine.memoryFreeBytes)} free of ${bytes(machine.memoryBytes)}` : '',
      machine ? `${machine.load.toFixed(1)} for ${machine.cpus}` : '',
      machine ? `${bytes(machine.diskFreeBytes)} free of ${bytes(machine.diskBytes)}` : '',
      oneLine(at ?? ''),
    ]),
  );
  for (const { id, breakers } of nodes) {
    if (breakers.length > 0) screen.remark(`${id} gets no answer from ${oneLine(breakers.map((each) => each.id).join(', '))}.`);
  }
  if (paused) screen.remark('`nightshift resume` lets work go on.');
}

/** One line, in colour when something about it wants a person. */
function showModels({ screen }: Session, { providers, breakers, waiting }: Providers): void {
  if (providers.length === 0) return;
  const keys = providers.flatMap((provider) => provider.keys);
  const troubles = [
    ...keys.filter(({ state }) => state !== 'ok').map(({ id, state }) => `key ${id ?? ''} ${state}`),
    ...breakers.filter(({ state }) => state !== 'closed').map(({ id, state }) => `${id} ${state}`),
    ...(waiting.length === 0 ? [] : [`${plural(waiting.length, 'run')} waiting`]),
  ];
  const state = troubles.length === 0 ? screen.paint('green', 'all well') : screen.paint('yellow', oneLine(troubles.join(', ')));
  screen.line();
  screen.line(`models: ${oneLine(providers.map(({ name }) => name).join(' → '))}, ${state}`);
}

function rowsOf(open: QueueState['open']): readonly (readonly Cell[])[] {
  const count = (status: string, priority: string): number =>
    open.find((each) => each.status === status && each.priority === priority)?.count ?? 0;
  return taskStatuses
    .filter((status) => open.some((each) => each.status === status))
    .map((status) => [{ text: status, style: styleOf(status) }, ...priorities.map((priority) => String(count(status, priority)))]);
}
