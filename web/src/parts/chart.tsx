import 'uplot/dist/uPlot.min.css';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import UPlot from 'uplot';
import { dayName, stacked } from '../text/chart.ts';
import { clockTime } from '../text/time.ts';
import { onThemeElsewhere } from '../theme.ts';
import { Scrolling } from './scrolling.tsx';

/** One line, or one part of each bar. */
interface Series {
  readonly name: string;
  readonly tone: Tone;
  /** One for each point; null where nothing can be said. */
  readonly values: readonly (number | null)[];
}

export const lineTones = ['line-1', 'line-2', 'line-3', 'line-4', 'line-5'] as const;
type Tone = 'good' | 'bad' | 'calm' | (typeof lineTones)[number];

interface ChartProps {
  readonly title: string;
  /** What is seen, for who does not know the word, or does not see the picture. */
  readonly about: string;
  readonly kind: 'stacked' | 'lines' | 'steps';
  /** What is along the foot: whole days in UTC, or moments by the clock of who looks. */
  readonly along: 'Day' | 'Week' | 'Time';
  /** Milliseconds, ascending. */
  readonly times: readonly number[];
  readonly labels: readonly string[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  /** Where the scale ends at least. */
  readonly least: number;
}

/** Figures over time, as a picture and as a table. What the pointer is at is told in words above it. */
export function Chart(props: ChartProps): ReactNode {
  const { title, about, labels, series, format } = props;
  const [at, setAt] = useState<number>();
  return (
    <figure className="chart card">
      <figcaption>
        <h2>{title}</h2>
        <p className="soft">{about}</p>
      </figcaption>
      <ul className="legend" aria-hidden="true">
        {series.map(({ name, tone, values }) => (
          <li key={name}>
            <span className={`swatch tone-${tone}`} />
            <span className="truncate">{name}</span>
            {at !== undefined && <span className="tabular">{said(values[at], format)}</span>}
          </li>
        ))}
        <li className="tabular">{at === undefined ? '' : labels[at]}</li>
      </ul>
      <Picture {...props} pointAt={setAt} />
      <Table {...props} />
    </figure>
  );
}

const said = (value: number | null | undefined, format: ChartProps['format']): string => (value == null ? '–' : format(value));

function Table({ title, along, labels, series, format }: ChartProps): ReactNode {
  return (
    <details>
      <summary aria-label={`${title} as a table`}>As a table</summary>
      <Scrolling className="chart-table" label={`${title}, as a table`}>
        <table>
          <thead>
            <tr>
              {[along, ...series.map(({ name }) => name)].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {labels.map((label, index) => (
              <tr key={label}>
                <th scope="row">{label}</th>
                {series.map(({ name, values }) => (
                  <td key={name}>{said(values[index], format)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scrolling>
    </details>
  );
}

/** So many pixels high, whatever is in it: nothing below it moves when it comes. */
const height = 208;

interface PictureProps extends ChartProps {
  readonly pointAt: (index: number | undefined) => void;
}

function Picture({ kind, along, times, series, format, least, pointAt }: PictureProps): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const root = place.current;
    if (!root) return;
    const colour = (name: string): string => colourOf(root, name);
    const values = series.map((each) => each.values);
    const drawn = kind === 'stacked' ? stacked(values) : values;
    // The whole of a bar is drawn first, and its parts over that, from the largest to the least.
    const order = kind === 'stacked' ? [...series.keys()].reverse() : [...series.keys()];
    const margin = along === 'Week' ? 7 * halfDay : halfDay;
    const axis = (): Pick<UPlot.Axis, 'stroke' | 'grid' | 'ticks' | 'font'> => ({
      stroke: () => colour('--soft'),
      grid: { stroke: () => colour('--line'), width: 1 },
      ticks: { show: false },
      font: `12px ${getComputedStyle(root).fontFamily}`,
    });
    const plot = new UPlot(
      {
        width: root.clientWidth,
        height,
        // A name stands under its place by its middle: half of the last one is beyond the end.
        padding: [8, 28, 0, 0],
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, y: false, points: { show: kind !== 'stacked' } },
        ...(along === 'Time' ? {} : { tzDate: (seconds: number) => UPlot.tzDate(new Date(seconds * 1_000), 'Etc/UTC') }),
        scales: {
          x: {
            // From a whole second to a whole one: each end has a name, however short the time is.
            range: (_, from, to) =>
              kind === 'stacked' ? [from - margin, to + margin] : from === to ? [from - 60, to + 60] : [Math.floor(from), Math.ceil(to)],
          },
          y: { range: (_, __, most) => [0, Math.max(least, (most ?? 0) * 1.08)] },
        },
        axes: [
          {
            ...axis(),
            grid: { show: false },
            size: 36,
            gap: 10,
            space: 72,
            ...(along === 'Time' ? { incrs: steppingSeconds } : {}),
            values: (_, splits) => splits.map(footOf(along)),
          },
          { ...axis(), size: 56, space: 44, values: (_, splits) => splits.map((each) => (each === null ? '' : format(each))) },
        ],
        series: [
          {},
          ...order.map((index): UPlot.Series => {
            const stroke = (): string => colour(`--${series[index]?.tone}`);
            return kind === 'stacked'
              ? { fill: stroke, paths: bars, points: { show: false } }
              : lineAs(kind, index, times.length <= mostPoints, stroke);
          }),
        ],
        hooks: { setCursor: [({ cursor: { idx } }) => pointAt(idx ?? undefined)] },
      },
      [times.map((each) => each / 1_000), ...order.map((index) => [...(drawn[index] ?? [])])],
      root,
    );
    const sizes = new ResizeObserver(() => plot.setSize({ width: root.clientWidth, height }));
    sizes.observe(root);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const redraw = (): void => plot.redraw(false);
    scheme.addEventListener('change', redraw);
    const deaf = onThemeElsewhere(redraw);
    return () => {
      deaf();
      scheme.removeEventListener('change', redraw);
      sizes.disconnect();
      plot.destroy();
      pointAt(undefined);
    };
  }, [kind, along, times, series, format, least, pointAt]);
  return <div ref={place} className="chart-picture" aria-hidden="true" style={{ height }} />;
}

/** What stands under a place of the foot. Between two days there is nothing to be named. */
const footOf =
  (along: ChartProps['along']) =>
  (seconds: number): string => {
    if (along === 'Time') return clockTime(seconds * 1_000);
    return seconds % (2 * halfDay) === 0 ? dayName(new Date(seconds * 1_000).toISOString()) : '';
  };

const halfDay = 43_200;
/** Whole seconds: two places of less would have one name. */
const steppingSeconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, halfDay, 2 * halfDay];
const bars = (UPlot.paths.bars as UPlot.Series.BarsPathBuilderFactory)({ size: [0.72, 32], radius: 0.12 });
const steps = (UPlot.paths.stepped as UPlot.Series.SteppedPathBuilderFactory)({ align: 1 });
/** Colour alone tells nobody apart who does not see it. */
const dashes: readonly number[][] = [[], [6, 4], [2, 3], [10, 4, 2, 4], [1, 4]];

/** Of more points than that, the line alone is seen better. */
const mostPoints = 30;

const lineAs = (kind: 'lines' | 'steps', index: number, few: boolean, stroke: () => string): UPlot.Series => ({
  stroke,
  width: 2,
  dash: dashes[index % dashes.length] ?? [],
  spanGaps: true,
  points: { show: kind === 'lines' && few, size: 6, fill: stroke },
  ...(kind === 'steps' ? { paths: steps } : {}),
});

/** As the theme has it at this moment: a canvas knows no variables. */
function colourOf(root: HTMLElement, variable: string): string {
  root.style.setProperty('color', `var(${variable})`);
  const { color } = getComputedStyle(root);
  root.style.removeProperty('color');
  return color;
}
