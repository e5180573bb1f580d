import { Option } from 'commander';
import type { GateTrend, Trends } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { misused } from './failure.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';

const dimensions = ['week', 'day', 'source', 'gates'] as const;

interface Flags extends ClientFlags {
  readonly by: (typeof dimensions)[number];
  readonly from?: string;
  readonly to?: string;
  readonly repository?: string;
}

export const define: Define = (command, session) => {
  command
    .addOption(new Option('-b, --by <what>', 'what to look at').choices(dimensions).default('week'))
    .option('--from <day>', 'first day, as 2026-11-21, in UTC (default: twelve weeks)')
    .option('--to <day>', 'last day, included (default: today)')
    .option('-r, --repository <address>', 'with --by gates: this repository alone');
  examples(
    clientFlags(command),
    'nightshift trends',
    'nightshift trends --by source --from 2026-11-01',
    'nightshift trends --by gates --repository https://github.com/you/project',
    'nightshift trends --json | jq .total.autonomy',
  ).action((flags: Flags) => (flags.by === 'gates' ? showGates(session, flags) : show(session, flags)));
};

async function show(session: Session, flags: Flags): Promise<void> {
  if (flags.repository !== undefined) throw misused('--repository belongs to --by gates.');
  const trends = await connect(flags, session).get<Trends>(`/api/trends${queryOf(flags)}`);
  const { screen } = session;
  if (flags.json) return screen.json(trends);
  if (screen.rich) screen.line(screen.paint('dim', `${trends.from} to ${trends.to}, UTC`));
  screen.table(...tableOf(flags.by, trends));
}

type Table = readonly [heads: readonly string[], rows: readonly (readonly string[])[]];

function tableOf(by: Flags['by'], { days, weeks, sources }: Trends): Table {
  switch (by) {
    case 'day':
      return [['DAY', 'SUCCEEDED', 'FAILED', 'CANCELLED'], days.map(({ day, ...ends }) => [day, ...endsOf(ends)])];
    case 'source':
      return [
        ['SOURCE', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'SUCCESS', 'AUTONOMY'],
        sources.map(({ source, success, autonomy, ...ends }) => [oneLine(source), ...endsOf(ends), percent(success), percent(autonomy)]),
      ];
    default:
      return [
        ['WEEK', 'FINISHED', 'ALONE', 'AUTONOMY'],
        weeks.map(({ week, finished, alone, autonomy }) => [week, String(finished), String(alone), percent(autonomy)]),
      ];
  }
}

async function showGates(session: Session, flags: Flags): Promise<void> {
  const trend = await connect(flags, session).get<GateTrend>(`/api/trends/gates${queryOf(flags)}`);
  const { screen } = session;
  if (flags.json) return screen.json(trend);
  screen.table(
    ['DAY', 'RUNS', 'FINDINGS', 'COMPLEX', 'RED', 'RED BEFORE', 'COVERAGE'],
    trend.days.map(({ day, runs, findings, complex, red, redBefore, coverage }) => [
      day,
      ...[runs, findings, complex, red, redBefore].map(String),
      percent(coverage),
    ]),
  );
}

function queryOf({ from, to, repository }: Flags): string {
  const given = Object.entries({ from, to, repository }).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}

const endsOf = ({ succeeded, failed, cancelled }: Pick<Trends['total'], 'succeeded' | 'failed' | 'cancelled'>): readonly string[] =>
  [succeeded, failed, cancelled].map(String);

const percent = (share: number | null): string => (share === null ? '-' : `${Math.round(share * 100)} %`);
