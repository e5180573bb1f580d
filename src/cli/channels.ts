import type { Page } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { exits } from './failure.ts';
import { block, oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';

interface Sent {
  readonly id: string;
  readonly state: string;
  readonly reason: { readonly message: string } | null;
}

export const define: Define = (command, session) => {
  examples(clientFlags(command), 'nightshift channels', 'nightshift channels test slack').action((flags: ClientFlags) =>
    list(session, flags),
  );
  const testing = clientFlags(
    command.command('test').description('send a test through a channel, and say whether it arrived').argument('<name>'),
  );
  testing.action((name: string) => test(session, testing.optsWithGlobals(), name));
};

async function list(session: Session, flags: ClientFlags): Promise<void> {
  const { items } = await connect(flags, session).get<Pick<Page<{ readonly name: string }>, 'items'>>('/api/channels');
  if (flags.json) return session.screen.json({ items });
  for (const { name } of items) session.screen.line(oneLine(name));
  if (items.length === 0) session.screen.remark('No channel for alerts is set up. Set SLACK_WEBHOOK_URL, or see docs/sources.md.');
}

async function test(session: Session, flags: ClientFlags, name: string): Promise<void> {
  const { body } = await connect(flags, session).send<Sent>('POST', `/api/channels/${encodeURIComponent(name)}/test`);
  if (body.state !== 'sent') session.end(exits.failed);
  if (flags.json) return session.screen.json(body);
  const why = body.reason === null ? '' : `: ${block(body.reason.message)}`;
  session.screen.line(body.state === 'sent' ? 'sent' : `not sent${why} (${body.id} is ${body.state})`);
}
