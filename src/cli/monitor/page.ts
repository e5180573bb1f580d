import { needsPerson, priorities } from '../../domain/task.ts';
import type { Budget, QueueState, StreamedEvent, Task } from '../api.ts';
import { displayWidth, oneLine, truncate } from '../legible.ts';
import { describe } from '../story.ts';
import type { Screen, Style } from '../terminal.ts';
import { age, amount, clockTime, plural, styleOf } from '../wording.ts';

export interface Alert {
  readonly name: string;
  readonly severity: 'info' | 'warning' | 'critical';
  readonly title: string;
  readonly raisedAt: string | null;
}

/** Everything that the page shows, as the server said it last. */
export interface Seen {
  readonly address: string;
  /** False while the server is away; then the rest is from before. */
  readonly answers: boolean;
  readonly queue: QueueState;
  readonly running: readonly Task[];
  readonly needing: readonly Task[];
  readonly today: Budget | undefined;
  readonly alerts: readonly Alert[];
  /** Null before the server's first look at itself. */
  readonly healthy: boolean | null;
}

export interface News {
  readonly at: string;
  readonly about: string;
  readonly text: string;
  readonly style: Style | undefined;
}

interface Format {
  readonly columns: number;
  readonly rows: number;
  readonly now: number;
  readonly paint: Screen['paint'];
}

/** What a model says and what programs print would drown the rest. */
const chatter = new Set(['run.output', 'run.text', 'run.thinking', 'run.tool-started', 'run.tool-finished', 'run.usage', 'run.notes']);

export function newsOf(event: StreamedEvent, titles: Map<string, string>): News | undefined {
  const { taskId, type, data, at } = event;
  if (type === 'task.submitted' && taskId !== null) titles.set(taskId, String(data['title'] ?? ''));
  const line = chatter.has(type) ? undefined : describe(event);
  if (!line) return undefined;
  return { at, about: oneLine(titles.get(taskId ?? '') ?? taskId ?? ''), text: line.text, style: line.style };
}

/** The figures alone: what a program reads, and what tells one state from the next. */
export function countsOf({ address, answers, queue: { paused, open }, running, needing, today, alerts, healthy }: Seen) {
  const count = (wanted: (status: string) => boolean): number =>
    open.reduce((sum, each) => sum + (wanted(each.status) ? each.count : 0), 0);
  const person = (status: string): boolean => needsPerson.some((each) => each === status);
  return {
    address,
    answers,
    paused,
    running: count((status) => status === 'running'),
    waiting: count((status) => status !== 'running' && !person(status)),
    needsPerson: count(person),
    spentUsd: today?.spent ?? null,
    limitUsd: today?.limit ?? null,
    healthy,
    alerts: alerts.filter(({ raisedAt }) => raisedAt !== null).map(({ name }) => name),
    tasks: { running: running.map(({ id }) => id), needsPerson: needing.map(({ id }) => id) },
  };
}

/** The same in words. */
export function summaryOf(seen: Seen): readonly string[] {
  const { running, waiting, needsPerson: person, alerts } = countsOf(seen);
  return [
    stateOf(seen),
    `${running} running`,
    `${waiting} waiting`,
    `${person} ${person === 1 ? 'needs' : 'need'} a person`,
    moneyOf(seen),
    healthOf(seen),
    alerts.join(','),
  ];
}

/** As many lines as there are rows, none wider than the columns. */
export function pageOf(seen: Seen, news: readonly News[], { columns, rows, now, paint }: Format): readonly string[] {
  const [, running, waiting, person] = summaryOf(seen);
  const across = (...parts: readonly Part[]): string => laidOut(parts, columns, paint);
  const line = (text: string, style?: Style): string => across([style, text]);
  const colour = seen.answers ? (seen.queue.paused ? 'yellow' : 'green') : 'red';
  const clock = clockTime(new Date(now).toISOString());
  const head = [
    across(['bold', 'nightshift  '], [colour, stateOf(seen)], ['dim', `  ${clock}  ${oneLine(seen.address)}`]),
    line(`${running} · ${waiting} · ${person}`, seen.needing.length > 0 ? 'magenta' : undefined),
    line(`${moneyOf(seen)}${columns > 70 ? ` ${bar(seen, 16)}` : ''} · ${healthOf(seen)}`, isWell(seen) ? undefined : 'yellow'),
    '',
  ];
  const foot = [line('q: leave', 'dim')];
  const room = Math.max(0, rows - head.length - foot.length);
  const task = ({ id, status, title, updatedAt, priority }: Task): string =>
    across(
      ['dim', `${age(updatedAt, now).padStart(4)}  `],
      [styleOf(status), `${status.padEnd(17)} ${priority.padEnd(6)} `],
      [undefined, truncate(oneLine(title), columns > 100 ? columns - 66 : columns)],
      ['dim', columns > 100 ? `  ${id}` : ''],
    );
  const raised = seen.alerts.filter(({ raisedAt }) => raisedAt !== null);
  const blocks = [
    { title: 'Needs a person', lines: seen.needing.map(task) },
    { title: 'Wrong', lines: raised.map(({ title, severity }) => line(`  ${oneLine(title)}`, severity === 'critical' ? 'red' : 'yellow')) },
    { title: 'Running', lines: seen.running.length > 0 ? seen.running.map(task) : [line(idle(seen), 'dim')] },
  ].filter(({ lines }) => lines.length > 0);
  const body: string[] = [];
  // What waits for somebody comes first, and none of it takes the room of all that follows.
  for (const { title, lines } of blocks) {
    const most = Math.max(1, Math.floor(room / (blocks.length + 1)) - 2);
    const shown = lines.length > most ? [...lines.slice(0, most - 1), line(`      and ${lines.length - most + 1} more`, 'dim')] : lines;
    body.push(line(title, 'bold'), ...shown, '');
  }
  const left = room - body.length - 1;
  if (left > 0) {
    const latest = news
      .slice(-left)
      .map(({ at, about, text, style }) =>
        across(['dim', `${clockTime(at)}  ${about === '' ? '' : `${truncate(about, 30)}: `}`], [style, text]),
      );
    body.push(line('Lately', 'bold'), ...(latest.length > 0 ? latest : [line('nothing since you look', 'dim')]));
  }
  const filled = [...head, ...body.slice(0, room)];
  while (filled.length < rows - foot.length) filled.push('');
  return [...filled, ...foot].slice(0, rows);
}

type Part = readonly [style: Style | undefined, text: string];

/** One line, cut where the terminal ends. */
function laidOut(parts: readonly Part[], columns: number, paint: Screen['paint']): string {
  let left = columns;
  return parts
    .map(([style, text]) => {
      const kept = truncate(text, left);
      left -= displayWidth(kept);
      return paint(style, kept);
    })
    .join('');
}

const stateOf = ({ answers, queue }: Seen): string => (answers ? (queue.paused ? 'paused' : 'working') : 'does not answer; trying again');

function idle({ queue: { open, paused } }: Seen): string {
  if (paused) return '      nothing is begun: `nightshift resume`';
  const waiting = priorities.flatMap((priority) => {
    const count = open.reduce((sum, each) => sum + (each.status === 'queued' && each.priority === priority ? each.count : 0), 0);
    return count === 0 ? [] : [`${count} ${priority}`];
  });
  return waiting.length === 0 ? '      nothing to do: `nightshift new` gives work' : `      in line: ${waiting.join(', ')}`;
}

function moneyOf({ today }: Seen): string {
  if (today === undefined || today.spent === null) return 'no budget';
  const spent = `${amount('usd', today.spent)} today`;
  return today.limit === null ? spent : `${spent} of ${amount('usd', today.limit)}`;
}

function bar({ today }: Seen, width: number): string {
  if (today?.limit === null || today?.limit === undefined || today.limit === 0) return '';
  const full = Math.min(width, Math.round((((today.spent ?? 0) + (today.reserved ?? 0)) / today.limit) * width));
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}`;
}

const healthOf = ({ healthy, alerts }: Seen): string => {
  const raised = alerts.filter(({ raisedAt }) => raisedAt !== null).length;
  const state = healthy === null ? 'not examined yet' : healthy ? 'well' : 'not well: `nightshift doctor`';
  return raised === 0 ? state : `${state}, ${plural(raised, 'alert')}`;
};

const isWell = ({ healthy, alerts }: Seen): boolean => healthy !== false && alerts.every(({ raisedAt }) => raisedAt === null);
