import { Option } from 'commander';
import { usageDimensions } from '../domain/spending.ts';
import type { Usage } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { block, oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { amount } from './wording.ts';

interface Flags extends ClientFlags {
  readonly by: string;
  readonly from?: string;
  readonly to?: string;
  readonly summary?: true;
}

const barWidth = 24;

export const define: Define = (command, session) => {
  command
    .addOption(new Option('-b, --by <what>', 'what to add up by').choices(usageDimensions).default('day'))
    .option('--from <day>', 'first day, as 2026-11-21, in UTC (default: six days before the last)')
    .option('--to <day>', 'last day, included (default: today)')
    .option('--summary', 'the last day in a few lines of text instead');
  examples(
    clientFlags(command),
    'nightshift usage',
    'nightshift usage --by model --from 2026-11-01',
    'nightshift usage --by task --json | jq -r ".items[0].key"',
    'nightshift usage --summary',
  ).action((flags: Flags) => (flags.summary ? summarise(session, flags) : show(session, flags)));
};

async function summarise(session: Session, flags: Flags): Promise<void> {
  const query = flags.to === undefined ? '' : `?day=${encodeURIComponent(flags.to)}`;
  const summary = await connect(flags, session).get<{ readonly day: string; readonly text: string }>(`/api/usage/summary${query}`);
  if (flags.json) return session.screen.json(summary);
  session.screen.line(block(summary.text));
}

async function show(session: Session, flags: Flags): Promise<void> {
  const given = { by: flags.by, from: flags.from, to: flags.to };
  const query = new URLSearchParams(Object.entries(given).filter((pair): pair is [string, string] => pair[1] !== undefined));
  const usage = await connect(flags, session).get<Usage>(`/api/usage?${query}`);
  if (flags.json) return session.screen.json(usage);
  print(session, usage);
}

function print({ screen }: Session, { by, from, to, items, total, truncated }: Usage): void {
  const most = Math.max(0, ...items.map(({ costUsd }) => costUsd));
  const rows = [...items, { ...total, key: 'total' }].map(({ key, calls, costUsd, ...tokens }, index) => [
    key === '' ? '-' : oneLine(key),
    amount('usd', costUsd),
    String(calls),
    amount('tokens', tokens.inputTokens + tokens.cacheReadTokens + tokens.cacheWriteTokens),
    amount('tokens', tokens.outputTokens),
    ...(screen.rich ? [{ text: index < items.length ? bar(costUsd, most) : '', style: 'cyan' as const }] : []),
  ]);
  if (screen.rich) screen.line(screen.paint('dim', `${from} to ${to}, UTC`));
  screen.table(
    [by.toUpperCase(), 'COST', 'CALLS', 'READ', 'WRITTEN', ...(screen.rich ? [''] : [])],
    screen.rich ? rows : rows.slice(0, -1),
  );
  if (truncated) screen.remark('There are more; these are the dearest.');
}

/** In eighths of a character, so that small differences show. */
function bar(value: number, most: number): string {
  if (most <= 0 || value <= 0) return '';
  const eighths = Math.max(1, Math.round((value / most) * barWidth * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + (eighths % 8 === 0 ? '' : '▏▎▍▌▋▊▉'.charAt((eighths % 8) - 1));
}
