import { Option } from 'commander';
import { deliveryStates } from '../domain/mail.ts';
import type { Delivery, Page } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { block, oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { age } from './wording.ts';

interface Flags extends ClientFlags {
  readonly state?: string;
  readonly source?: string;
  readonly limit?: string;
}

export const define: Define = (command, session) => {
  command
    .addOption(new Option('-s, --state <state>', 'only these').choices(deliveryStates))
    .option('--source <source>', 'only from this source')
    .option('-n, --limit <count>', 'how many', '50');
  examples(
    clientFlags(command),
    'nightshift inbox --state failed',
    'nightshift inbox show inb_01KEXAMPLE000000000000000',
    'nightshift inbox replay inb_01KEXAMPLE000000000000000',
  ).action((flags: Flags) => list(session, flags));

  const showing = clientFlags(command.command('show').description('show one delivery, with what it carried').argument('<id>'));
  showing.action(async (id: string) => {
    const flags: Flags = showing.optsWithGlobals();
    const delivery = await connect(flags, session).get<Delivery>(`/api/inbox/${encodeURIComponent(id)}`);
    if (flags.json) session.screen.json(delivery);
    else show(session, delivery);
  });

  const replaying = clientFlags(
    command.command('replay').description('read deliveries again that failed or were ignored').argument('<id...>'),
  );
  replaying.action(async (ids: readonly string[]) => {
    const flags: Flags = replaying.optsWithGlobals();
    const client = connect(flags, session);
    const items: Delivery[] = [];
    for (const id of ids) items.push((await client.send<Delivery>('POST', `/api/inbox/${encodeURIComponent(id)}/replay`)).body);
    if (flags.json) return session.screen.json({ items });
    for (const { id, state } of items) session.screen.line(`${id}  ${state}`);
  });
};

async function list(session: Session, flags: Flags): Promise<void> {
  const given = Object.entries({ state: flags.state, source: flags.source, limit: flags.limit });
  const query = new URLSearchParams(given.filter((pair): pair is [string, string] => pair[1] !== undefined));
  const page = await connect(flags, session).get<Page<Delivery>>(`/api/inbox?${query}`);
  const { screen, terminal } = session;
  if (flags.json) return screen.json(page);
  screen.table(
    ['ID', 'STATE', 'SOURCE', 'KIND', 'AGE', 'BECAME'],
    page.items.map((each) => [
      each.id,
      { text: each.state, style: each.state === 'failed' ? 'red' : undefined },
      each.source,
      each.kind,
      screen.rich ? age(each.receivedAt, terminal.clock.now()) : each.receivedAt,
      oneLine(each.taskIds.join(' ') || (each.reason?.message ?? '')),
    ]),
  );
}

function show({ screen }: Session, delivery: Delivery): void {
  screen.line(`${delivery.id}  ${delivery.state}  ${oneLine(`${delivery.source} ${delivery.kind} ${delivery.key}`)}`);
  if (delivery.reason) screen.line(oneLine(delivery.reason.message));
  for (const id of delivery.taskIds) screen.line(id);
  screen.line();
  screen.line(delivery.body === null ? '(its content was dropped when it had become old)' : block(delivery.body ?? ''));
}
