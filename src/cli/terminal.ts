import type { Clock } from '../platform/clock.ts';
import { displayWidth, toJson, truncate } from './legible.ts';

/** Where a command reads and writes. The real one is made in main.ts. */
export interface Terminal {
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly clock: Clock;
  /** From now on Ctrl-C calls the listener instead of ending the program, until the answer is called. */
  onInterrupt(listener: () => void): () => void;
  /** From now on each key is heard as it is pressed, Ctrl-C among them, until the answer is called. Absent where nobody types. */
  readonly keys?: ((listener: (pressed: string) => void) => () => void) | undefined;
  readonly onResize?: (listener: () => void) => () => void;
}

export interface Output {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): unknown;
}

const styles = { bold: '1', dim: '2', red: '31', green: '32', yellow: '33', magenta: '35', cyan: '36' } as const;
export type Style = keyof typeof styles;
type Paint = (style: Style | undefined, text: string) => string;

/** What a command prints: answers on stdout, remarks on stderr. Whoever prints makes text from outside legible first. */
export interface Screen {
  /** Eyes are looking: tables and colours. Otherwise plain lines, fields parted by tabs. */
  readonly rich: boolean;
  readonly paint: Paint;
  line(text?: string): void;
  remark(text: string): void;
  readonly paintRemark: Paint;
  json(value: unknown): void;
  table(heads: readonly string[], rows: readonly (readonly Cell[])[]): void;
}

export type Cell = string | { readonly text: string; readonly style: Style | undefined };

export function createScreen({ stdout, stderr, env }: Pick<Terminal, 'stdout' | 'stderr' | 'env'>): Screen {
  const rich = stdout.isTTY === true;
  const paint = painter(hasColours(stdout, env));
  const line = (text = ''): void => void stdout.write(`${text}\n`);
  return {
    rich,
    paint,
    line,
    paintRemark: painter(hasColours(stderr, env)),
    remark: (text) => void stderr.write(`${text}\n`),
    json: (value) => line(toJson(value, rich ? 2 : undefined)),
    table(heads, rows) {
      if (!rich) for (const row of rows) line(row.map(textOf).join('\t'));
      else for (const each of layOut(heads, rows, stdout.columns || 80, paint)) line(each);
    },
  };
}

export const hasColours = ({ isTTY }: Output, env: Terminal['env']): boolean =>
  isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';

const painter =
  (colours: boolean): Paint =>
  (style, text) =>
    colours && style !== undefined && text !== '' ? `\x1b[${styles[style]}m${text}\x1b[0m` : text;

/** Columns as wide as what is in them; the last one takes what the terminal has left. */
function layOut(heads: readonly string[], rows: readonly (readonly Cell[])[], columns: number, paint: Paint): readonly string[] {
  const widths = heads.map((head, index) => Math.max(displayWidth(head), ...rows.map((row) => displayWidth(textOf(row[index] ?? '')))));
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const room = Math.max(10, columns - before);
  const render = (cells: readonly Cell[], style?: Style): string =>
    cells
      .map((cell, index) => {
        const last = index === heads.length - 1;
        const text = last ? truncate(textOf(cell), room) : textOf(cell);
        const painted = paint(style ?? (typeof cell === 'string' ? undefined : cell.style), text);
        return last ? painted : painted + ' '.repeat((widths[index] ?? 0) - displayWidth(text) + 2);
      })
      .join('')
      .trimEnd();
  return [render(heads, 'dim'), ...rows.map((row) => render(row))];
}

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);
