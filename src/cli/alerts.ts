import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { misused } from './failure.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import type { Style } from './terminal.ts';
import { age, localTime } from './wording.ts';

interface Alerts {
  readonly items: readonly {
    readonly name: string;
    readonly node: string | null;
    readonly severity: 'info' | 'warning' | 'critical';
    readonly title: string;
    readonly text: string;
    readonly since: string;
    readonly raisedAt: string | null;
    readonly silencedUntil: string | null;
  }[];
  readonly silences: readonly { readonly name: string; readonly until: string; readonly by: string }[];
  readonly conditions: readonly string[];
  readonly channels: readonly string[];
}

const styles: Readonly<Record<Alerts['items'][number]['severity'], Style | undefined>> = {
  info: undefined,
  warning: 'yellow',
  critical: 'red',
};

export const define: Define = (command, session) => {
  examples(
    clientFlags(command),
    'nightshift alerts',
    'nightshift alerts silence queue-backlog',
    'nightshift alerts unsilence queue-backlog',
  ).action((flags: ClientFlags) => show(session, flags));
  const silencing = clientFlags(
    command
      .command('silence')
      .description('tell nobody of it for a while; what still stands when that is over is told then')
      .argument('<name>', 'the alert, as `nightshift alerts` names it')
      .option('--hours <hours>', 'for how long', '4'),
  );
  silencing.action((name: string) => silence(session, silencing.optsWithGlobals(), name));
  const ending = clientFlags(command.command('unsilence').description('end a silence').argument('<name>', 'the alert'));
  ending.action((name: string) => unsilence(session, ending.optsWithGlobals(), name));
};

async function show(session: Session, flags: ClientFlags): Promise<void> {
  const { screen, terminal } = session;
  const alerts = await connect(flags, session).get<Alerts>('/api/alerts');
  if (flags.json) return screen.json(alerts);
  for (const { name, severity, title, text, since, raisedAt, silencedUntil, node } of alerts.items) {
    const state = silencedUntil !== null ? 'silenced' : raisedAt === null ? 'just seen' : severity;
    screen.line(
      `${screen.paint(styles[severity], state.padEnd(9))} ${oneLine(title)}  ${screen.paint('dim', `${age(since, terminal.clock.now())}  ${name}`)}`,
    );
    screen.line(`          ${oneLine(text)}${node === null ? '' : `  (${oneLine(node)})`}`);
  }
  if (alerts.items.length === 0) screen.line(`Nothing is wrong: ${alerts.conditions.length} things are looked at every ten seconds.`);
  for (const { name, until, by } of alerts.silences) screen.remark(`${name} is silent until ${localTime(until)} (${oneLine(by)})`);
  if (alerts.channels.length === 0)
    screen.remark('Nobody is told: no channel is set up. Set SLACK_WEBHOOK_URL, ALERT_EMAIL, or see docs/alerts.md.');
}

async function silence(session: Session, flags: ClientFlags & { readonly hours?: string }, name: string): Promise<void> {
  const hours = Number(flags.hours);
  if (!(hours > 0 && hours <= 720)) throw misused('The hours must be a number from 0.1 to 720.');
  const path = `/api/alerts/${encodeURIComponent(name)}/silence`;
  const { body } = await connect(flags, session).send<Alerts['silences'][number]>('PUT', path, {
    minutes: Math.max(1, Math.round(hours * 60)),
  });
  if (flags.json) return session.screen.json(body);
  session.screen.line(`${body.name} is silent until ${localTime(body.until)}`);
}

async function unsilence(session: Session, flags: ClientFlags, name: string): Promise<void> {
  await connect(flags, session).delete(`/api/alerts/${encodeURIComponent(name)}/silence`);
  if (flags.json) return session.screen.json({ name });
  session.screen.line(`${oneLine(name)} is told again`);
}
