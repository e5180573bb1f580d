import { summary } from './stats.ts';

type Cell = string | number | null;
/** Column headings are the keys. */
export type Row = Readonly<Record<string, Cell>>;

export interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
  /** What a reader must know to take the figures for what they are. */
  readonly notes?: readonly string[];
}

/** Samples in milliseconds, one figure after the other under the headings that all such tables have. */
export function rowOf(what: string, samples: readonly number[]): Row {
  const { count, p50, p95 } = summary(samples);
  return { what, samples: count, p50, p95, unit: 'ms' };
}

export function renderSection({ title, rows, notes = [] }: Section): string {
  return `\n${title}\n${rows.length > 0 ? renderTable(rows) : ''}${notes.map((note) => `  ${note}\n`).join('')}`;
}

function renderTable(rows: readonly Row[]): string {
  const headings = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = rows.map((row) => headings.map((heading) => shown(row[heading] ?? null)));
  const numeric = headings.map((heading) => rows.some((row) => typeof row[heading] === 'number'));
  const widths = headings.map((heading, column) => Math.max(heading.length, ...cells.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    `  ${row.map((text, column) => (numeric[column] ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0))).join('  ')}`.trimEnd();
  return `${[line(headings), line(widths.map((width) => '─'.repeat(width))), ...cells.map(line)].join('\n')}\n`;
}

/** Three figures are as many as a benchmark on a shared machine is good for. */
function shown(cell: Cell): string {
  if (cell === null) return '–';
  if (typeof cell === 'string') return cell;
  if (cell >= 1_000) return Math.round(cell).toLocaleString('en');
  return Number.isInteger(cell) ? String(cell) : cell.toFixed(cell >= 100 ? 0 : cell >= 10 ? 1 : 2);
}
