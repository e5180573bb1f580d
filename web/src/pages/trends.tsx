import { type ReactNode, useEffect, useMemo, useState } from 'react';
import { get } from '../data/api.ts';
import { useLive } from '../data/use.ts';
import type { GateTrendView, TrendsView } from '../data/views.ts';
import { Chart, lineTones } from '../parts/chart.tsx';
import { Segments } from '../parts/segments.tsx';
import { Empty } from '../parts/text.tsx';
import { count } from '../text/amount.ts';
import { byWeekOf, dayName, mondayOf, percent } from '../text/chart.ts';
import { shortRepository } from '../text/repository.ts';

const spans = [
  [4, '4 weeks'],
  [12, '12 weeks'],
  [52, 'A year'],
] as const;

const dayMs = 86_400_000;

/** What became of the work over time. */
export function Trends(): ReactNode {
  const [weeks, setWeeks] = useState<number>(12);
  const from = useMemo(() => mondayBefore(Date.now(), weeks - 1), [weeks]);
  const trends = useAnswer<TrendsView>(`/trends?from=${from}`);
  return (
    <div className="page">
      <header className="page-head">
        <div>
          <h1>Trends</h1>
          <p className="soft">What became of the work, by days and weeks in UTC.</p>
        </div>
        <Segments label="How far back" choices={spans} chosen={weeks} choose={setWeeks} />
      </header>
      <Shown answer={trends}>
        {(view) => (
          <>
            <Work trends={view} byWeek={weeks > 12} />
            <Debt from={from} byWeek={weeks > 4} />
          </>
        )}
      </Shown>
    </div>
  );
}

const mondayBefore = (now: number, weeks: number): string => mondayOf(new Date(now - weeks * 7 * dayMs).toISOString().slice(0, 10));

interface Answered<T> {
  readonly value: T | undefined;
  readonly refused: string | undefined;
}

/** What the server says, asked again when the connection is back and when a task has ended. */
function useAnswer<T>(path: string): Answered<T> {
  const live = useLive((state) => state.connection.kind === 'live');
  const open = useLive((state) => state.queue?.open.reduce((sum, each) => sum + each.count, 0));
  const [answer, setAnswer] = useState<Answered<T>>({ value: undefined, refused: undefined });
  // biome-ignore lint/correctness/useExhaustiveDependencies: with other tasks open, it is another answer
  useEffect(() => {
    if (!live) return;
    let wanted = true;
    void get<T>(path).then((given) => {
      if (wanted)
        setAnswer((before) => (given.ok ? { value: given.value, refused: undefined } : { ...before, refused: given.refusal.message }));
    });
    return () => {
      wanted = false;
    };
  }, [path, live, open]);
  return answer;
}

function Shown<T>({ answer, children }: { readonly answer: Answered<T>; readonly children: (value: T) => ReactNode }): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  if (answer.value !== undefined) return children(answer.value);
  return (
    <p className="soft chart-wait" role="status">
      {answer.refused ?? (live ? 'Loading…' : 'This is not kept for reading offline.')}
    </p>
  );
}

const share = (value: number | null): string => (value === null ? '–' : percent(value));

interface WorkProps {
  readonly trends: TrendsView;
  readonly byWeek: boolean;
}

function Work({ trends, byWeek }: WorkProps): ReactNode {
  const { total, sources } = trends;
  if (total.succeeded + total.failed + total.cancelled === 0) {
    return (
      <Empty title="Nothing has ended in this time">
        <p>
          As soon as tasks end, this shows how many do each day and how, how often that goes without a person, and which sources bring work
          that succeeds. All of it is kept from the first task on.
        </p>
      </Empty>
    );
  }
  return (
    <>
      <dl className="tiles">
        <Figure name="Finished" value={count(total.finished)} />
        <Figure name="Succeeded" value={share(total.success)} />
        <Figure name="Without a person" value={share(total.autonomy)} />
        <Figure name="Sources" value={count(sources.length)} />
      </dl>
      <Velocity trends={trends} byWeek={byWeek} />
      <div className="columns">
        <Autonomy trends={trends} />
        <Success trends={trends} />
      </div>
    </>
  );
}

const Figure = ({ name, value }: { readonly name: string; readonly value: string }): ReactNode => (
  <div className="tile">
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

function Velocity({ trends, byWeek }: WorkProps): ReactNode {
  const shown = useMemo(() => {
    const days = byWeek ? byWeekOf(trends.days) : trends.days;
    return {
      times: days.map(({ day }) => Date.parse(day)),
      labels: days.map(({ day }) => day),
      series: [
        { name: 'Succeeded', tone: 'good', values: days.map(({ succeeded }) => succeeded) },
        { name: 'Failed', tone: 'bad', values: days.map(({ failed }) => failed) },
        { name: 'Cancelled', tone: 'calm', values: days.map(({ cancelled }) => cancelled) },
      ] as const,
    };
  }, [trends, byWeek]);
  return (
    <Chart
      title="Velocity"
      about={`Tasks that ended ${byWeek ? 'in each week' : 'on each day'}, by how they did.`}
      kind="stacked"
      along={byWeek ? 'Week' : 'Day'}
      format={whole}
      least={4}
      {...shown}
    />
  );
}

/** Of a scale that is marked between whole tasks, those marks say nothing. */
const whole = (value: number): string => (Number.isInteger(value) ? count(value) : '');

function useWeeks(trends: TrendsView) {
  return useMemo(
    () => ({
      times: trends.weeks.map(({ week }) => Date.parse(week)),
      labels: trends.weeks.map(({ week }) => `Week of ${dayName(week)}`),
    }),
    [trends],
  );
}

function Autonomy({ trends }: { readonly trends: TrendsView }): ReactNode {
  const weeks = useWeeks(trends);
  const series = useMemo(
    () => [{ name: 'Without a person', tone: lineTones[0], values: trends.weeks.map(({ autonomy }) => autonomy) }],
    [trends],
  );
  return (
    <Chart
      title="Autonomy"
      about="Of what was finished in a week, the share that succeeded with nobody approving it, answering for it or trying it again."
      kind="lines"
      along="Week"
      format={percent}
      least={1}
      series={series}
      {...weeks}
    />
  );
}

function Success({ trends }: { readonly trends: TrendsView }): ReactNode {
  const weeks = useWeeks(trends);
  const shown = trends.sources.slice(0, lineTones.length);
  const series = useMemo(
    () =>
      trends.sources.slice(0, lineTones.length).map(({ source, weeks }, index) => ({
        name: source,
        tone: lineTones[index] ?? lineTones[0],
        values: weeks,
      })),
    [trends],
  );
  const more = trends.sources.length - shown.length;
  return (
    <Chart
      title="Success by source"
      about={`Of what succeeded or failed in a week, the share that succeeded, by where the work came from${more > 0 ? `; the ${shown.length} busiest of ${trends.sources.length} sources` : ''}.`}
      kind="lines"
      along="Week"
      format={percent}
      least={1}
      series={series}
      {...weeks}
    />
  );
}

/** What agents meet and leave behind in a repository, by its gates. */
function Debt({ from, byWeek }: { readonly from: string; readonly byWeek: boolean }): ReactNode {
  const [repository, setRepository] = useState('');
  const about = repository === '' ? '' : `&repository=${encodeURIComponent(repository)}`;
  const answer = useAnswer<GateTrendView>(`/trends/gates?from=${from}${about}`);
  return (
    <section className="section" aria-label="Technical debt">
      <header>
        <h2>Technical debt</h2>
        {(answer.value?.repositories.length ?? 0) > 0 && (
          <label className="debt-of">
            <span className="sr">Repository</span>
            <select value={repository} onChange={(event) => setRepository(event.target.value)}>
              <option value="">All repositories</option>
              {answer.value?.repositories.map((each) => (
                <option key={each.repository} value={each.repository}>
                  {shortRepository(each.repository)}
                </option>
              ))}
            </select>
          </label>
        )}
      </header>
      <Shown answer={answer}>{(trend) => <DebtCharts trend={trend} byWeek={byWeek} />}</Shown>
    </section>
  );
}

interface DebtProps {
  readonly trend: GateTrendView;
  readonly byWeek: boolean;
}

function DebtCharts({ trend, byWeek }: DebtProps): ReactNode {
  const shown = useMemo(() => {
    const days = byWeek ? byWeekOf(trend.days) : trend.days;
    const perRun = (of: (day: GateTrendView['days'][number]) => number) => days.map((day) => of(day) / day.runs);
    return {
      place: { times: days.map(({ day }) => Date.parse(day)), labels: days.map(({ day }) => day) },
      left: [
        { name: 'Findings', tone: lineTones[0], values: perRun(({ findings }) => findings) },
        { name: 'Too complex', tone: lineTones[1], values: perRun(({ complex }) => complex) },
        { name: 'Red before the agent', tone: lineTones[2], values: perRun(({ redBefore }) => redBefore) },
        { name: 'Still red', tone: lineTones[3], values: perRun(({ red }) => red) },
      ],
      coverage: [
        {
          name: 'Covered',
          tone: lineTones[0],
          values: days.map(({ coveredLines, measuredLines }) => (measuredLines === 0 ? null : coveredLines / measuredLines)),
        },
      ],
    };
  }, [trend, byWeek]);
  if (trend.days.length === 0) {
    return (
      <Empty title="No gate was asked in this time">
        <p>
          Gates look at what an agent has done in a repository: tests, types, lint, complexity, coverage. Give a task a repository, and what
          they find there is added up here, run by run.
        </p>
      </Empty>
    );
  }
  return (
    <div className="columns">
      <Chart
        title="What the gates left"
        about="For each run, when its gates were asked for the last time: what they found, and which of them had been red before."
        kind="lines"
        along={byWeek ? 'Week' : 'Day'}
        format={decimal}
        least={1}
        series={shown.left}
        {...shown.place}
      />
      <Chart
        title="Coverage of changes"
        about="Of the lines that were changed, the share that tests have run, where the tests leave a report."
        kind="lines"
        along={byWeek ? 'Week' : 'Day'}
        format={percent}
        least={1}
        series={shown.coverage}
        {...shown.place}
      />
    </div>
  );
}

const decimal = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 });
