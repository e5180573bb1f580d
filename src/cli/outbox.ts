import { Option } from 'commander';
import { messageStates } from '../domain/mail.ts';
import type { Message, Page } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { block, oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { age } from './wording.ts';

interface Flags extends ClientFlags {
  readonly state?: string;
  readonly channel?: string;
  readonly limit?: string;
}

export const define: Define = (command, session) => {
  command
    .addOption(new Option('-s, --state <state>', 'only these').choices(messageStates))
    .option('--channel <channel>', 'only through this channel')
    .option('-n, --limit <count>', 'how many', '50');
  examples(
    clientFlags(command),
    'nightshift outbox --state dead',
    'nightshift outbox show msg_01KEXAMPLE000000000000000',
    'nightshift outbox resend msg_01KEXAMPLE000000000000000',
  ).action((flags: Flags) => list(session, flags));

  const showing = clientFlags(command.command('show').description('show one message').argument('<id>'));
  showing.action(async (id: string) => {
    const flags: Flags = showing.optsWithGlobals();
    const message = await connect(flags, session).get<Message>(`/api/outbox/${encodeURIComponent(id)}`);
    if (flags.json) session.screen.json(message);
    else show(session, message);
  });

  for (const [verb, about] of [
    ['resend', 'send messages again that were given up or discarded'],
    ['discard', 'make sure that messages are not sent'],
  ] as const) {
    const acting = clientFlags(command.command(verb).description(about).argument('<id...>'));
    acting.action(async (ids: readonly string[]) => {
      const flags: Flags = acting.optsWithGlobals();
      const client = connect(flags, session);
      const items: Message[] = [];
      for (const id of ids) items.push((await client.send<Message>('POST', `/api/outbox/${encodeURIComponent(id)}/${verb}`)).body);
      if (flags.json) return session.screen.json({ items });
      for (const { id, state } of items) session.screen.line(`${id}  ${state}`);
    });
  }
};

async function list(session: Session, flags: Flags): Promise<void> {
  const given = Object.entries({ state: flags.state, channel: flags.channel, limit: flags.limit });
  const query = new URLSearchParams(given.filter((pair): pair is [string, string] => pair[1] !== undefined));
  const page = await connect(flags, session).get<Page<Message>>(`/api/outbox?${query}`);
  const { screen, terminal } = session;
  if (flags.json) return screen.json(page);
  screen.table(
    ['ID', 'STATE', 'CHANNEL', 'RECIPIENT', 'KIND', 'AGE', 'WHY'],
    page.items.map((each) => [
      each.id,
      { text: each.state, style: each.state === 'dead' ? 'red' : undefined },
      each.channel,
      oneLine(each.recipient),
      each.kind,
      screen.rich ? age(each.createdAt, terminal.clock.now()) : each.createdAt,
      oneLine(each.reason?.message ?? ''),
    ]),
  );
}

function show({ screen }: Session, message: Message): void {
  screen.line(`${message.id}  ${message.state}  ${oneLine(`${message.channel} ${message.kind} to ${message.recipient}`)}`);
  if (message.reason) screen.line(oneLine(message.reason.message));
  if (message.taskId !== null) screen.line(message.taskId);
  screen.line();
  screen.line(message.body === null ? '(its content was dropped when it had become old)' : block(contentOf(message)));
}

const contentOf = ({ body }: Message): string => (typeof body === 'string' ? body : JSON.stringify(body, null, 2));
