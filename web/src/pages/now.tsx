import { type ReactNode, useEffect, useMemo } from 'react';
import { bringStep, setPaused } from '../data/live.ts';
import { countsOf } from '../data/state.ts';
import { useLive, useMay, useNow } from '../data/use.ts';
import {
  awaitsDecision,
  type BudgetView,
  closedStatuses,
  needyStatuses,
  priorities,
  type ServerView,
  type TaskView,
  waitingStatuses,
} from '../data/views.ts';
import { Act } from '../parts/act.tsx';
import { TaskActions } from '../parts/actions.tsx';
import { Alerts } from '../parts/alerts.tsx';
import { DemoButton } from '../parts/demo.tsx';
import { Icon } from '../parts/icons.tsx';
import { NewTaskButton } from '../parts/new-task-button.tsx';
import { StatusBadge, StatusMark } from '../parts/status.tsx';
import { CommandLine, Empty } from '../parts/text.tsx';
import { toast } from '../parts/toast.tsx';
import { Link } from '../router.tsx';
import { ago, elapsed } from '../text/time.ts';

export function Now(): ReactNode {
  const tasks = useLive((state) => state.tasks);
  const queue = useLive((state) => state.queue);
  const server = useLive((state) => state.server);
  const day = useLive((state) => state.budgets?.find(({ scope }) => scope === 'day'));
  const may = useMay('operator');
  const counts = countsOf(queue);
  const { running, needy, next, recent } = useMemo(() => groupsOf([...tasks.values()]), [tasks]);
  const empty = tasks.size === 0;
  /** Until there is work of one's own. */
  const first = useMemo(() => [...tasks.values()].every(({ source }) => source === 'demo'), [tasks]);

  return (
    <div className="page">
      <header className="page-head">
        <div>
          <h1>Now</h1>
          <p className="soft">{summaryOf(counts, queue?.paused ?? false)}</p>
        </div>
        <div className="row">
          {may && queue && <PauseButton paused={queue.paused} />}
          <NewTaskButton className="primary">
            <Icon name="plus" /> New task
          </NewTaskButton>
        </div>
      </header>
      {first && server && <Hints server={server} first />}
      {queue?.paused && (
        <p className="banner warn">
          <Icon name="pause" /> The queue is paused: what runs goes on, and nothing new is started.
        </p>
      )}

      <dl className="tiles">
        <Tile name="Running" value={counts.running} of={server?.capacity} />
        <Tile name="Waiting" value={counts.waiting} />
        <Tile name="Need you" value={counts.needy} warn={counts.needy > 0} />
        {day && <SpendTile day={day} />}
      </dl>

      <Alerts />

      {needy.length > 0 && (
        <Section title="Needs a person" count={Math.max(counts.needy, needy.length)} more="/approvals">
          <ul className="list">
            {needy.map((task) => (
              <NeedyTask key={task.id} task={task} />
            ))}
          </ul>
        </Section>
      )}

      {!first && server && <Hints server={server} first={false} />}

      <Section title="Running" count={running.length}>
        {running.length === 0 ? (
          <Empty title={empty ? 'Nothing has been asked of it yet' : 'Nothing is running'}>
            <p>
              {empty
                ? 'A task is a wish for work: a title, a repository, what to do. Nightshift keeps it on disk, has an agent work on it, checks the result, and tells you here.'
                : counts.waiting > 0
                  ? 'What waits is started as soon as it is its turn.'
                  : 'Give it something to do, and watch it here step by step.'}
            </p>
            {empty && <NewTaskButton>Write the first task</NewTaskButton>}
          </Empty>
        ) : (
          <ul className="list">
            {running.map((task) => (
              <RunningTask key={task.id} task={task} />
            ))}
          </ul>
        )}
      </Section>

      <div className="columns">
        <Section title="Up next" count={counts.waiting} more={counts.waiting > next.length ? '/tasks?show=waiting' : undefined}>
          {next.length === 0 ? (
            <Empty title="Nothing waits">
              <p>What is to begin is listed here: the next free place takes it.</p>
            </Empty>
          ) : (
            <ul className="list tight">
              {next.map((task) => (
                <Line key={task.id} task={task} when={task.status === 'delayed' ? (task.notBefore ?? task.createdAt) : task.createdAt} />
              ))}
            </ul>
          )}
        </Section>
        <Section title="Recent results" more={recent.length > 0 ? '/tasks' : undefined}>
          {recent.length === 0 ? (
            <Empty title="No results yet">
              <p>What ended is listed here, with how it went.</p>
            </Empty>
          ) : (
            <ul className="list tight">
              {recent.map((task) => (
                <Line key={task.id} task={task} when={task.closedAt ?? task.updatedAt} />
              ))}
            </ul>
          )}
        </Section>
      </div>
    </div>
  );
}

function groupsOf(all: readonly TaskView[]) {
  const byRank = (a: TaskView, b: TaskView): number =>
    priorities.indexOf(a.priority) - priorities.indexOf(b.priority) || (a.id < b.id ? -1 : 1);
  const latest = (a: TaskView, b: TaskView): number => ((a.closedAt ?? '') < (b.closedAt ?? '') ? 1 : -1);
  return {
    running: all.filter(({ status }) => status === 'running').sort((a, b) => (a.id < b.id ? -1 : 1)),
    needy: all.filter(({ status }) => needyStatuses.includes(status)).sort((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1)),
    next: all
      .filter(({ status }) => waitingStatuses.includes(status))
      .sort((a, b) => waitingStatuses.indexOf(a.status) - waitingStatuses.indexOf(b.status) || byRank(a, b))
      .slice(0, 8),
    recent: all
      .filter(({ status }) => closedStatuses.includes(status))
      .sort(latest)
      .slice(0, 8),
  };
}

function summaryOf({ running, waiting, needy }: ReturnType<typeof countsOf>, paused: boolean): string {
  if (needy > 0) return needy === 1 ? 'One task needs you.' : `${needy} tasks need you.`;
  if (running > 0) return running === 1 ? 'One task is being worked on.' : `${running} tasks are being worked on.`;
  if (waiting > 0) return paused ? 'Work waits for the queue to be resumed.' : 'Work waits for its turn.';
  return 'All quiet.';
}

function Tile({
  name,
  value,
  of,
  warn = false,
}: {
  readonly name: string;
  readonly value: number;
  readonly of?: number | undefined;
  readonly warn?: boolean;
}): ReactNode {
  return (
    <div className={warn ? 'tile warn' : 'tile'}>
      <dt>{name}</dt>
      <dd>
        {value}
        {of !== undefined && <span className="of"> of {of}</span>}
      </dd>
    </div>
  );
}

function SpendTile({ day }: { readonly day: BudgetView }): ReactNode {
  const { spent, limit } = day;
  return (
    <div className={limit !== null && (spent ?? 0) >= limit ? 'tile warn' : 'tile'}>
      <dt>Spent today{limit !== null && ` of $${Number.isInteger(limit) ? limit : limit.toFixed(2)}`}</dt>
      <dd>
        <Link to="/usage">${(spent ?? 0).toFixed(2)}</Link>
      </dd>
    </div>
  );
}

interface SectionProps {
  readonly title: string;
  readonly count?: number;
  readonly more?: string | undefined;
  readonly children: ReactNode;
}

const Section = ({ title, count, more, children }: SectionProps): ReactNode => (
  <section className="section" aria-label={title}>
    <header>
      <h2>
        {title} {count !== undefined && count > 0 && <span className="soft">{count}</span>}
      </h2>
      {more !== undefined && <Link to={more}>All</Link>}
    </header>
    {children}
  </section>
);

function RunningTask({ task }: { readonly task: TaskView }): ReactNode {
  const run = task.runs.at(-1);
  const step = useLive((state) => (run ? state.steps.get(run.id) : undefined));
  const runId = run?.id;
  const snapshot = useLive((state) => state.snapshot);
  // biome-ignore lint/correctness/useExhaustiveDependencies: with a new snapshot nobody knows what was missed
  useEffect(() => {
    if (runId !== undefined) void bringStep(runId);
  }, [runId, snapshot]);
  const now = useNow();
  return (
    <li className="card item">
      <StatusMark status={task.status} />
      <div className="grow">
        <Link to={run ? `/runs/${run.id}` : `/tasks/${task.id}`} className="title">
          {task.title}
        </Link>
        <p className={`step ${step?.tone ?? 'plain'}`}>{task.cancelRequestedAt !== null ? 'Stopping' : (step?.text ?? 'Preparing')}</p>
      </div>
      <span className="soft tabular">{elapsed(now - Date.parse(task.updatedAt))}</span>
      <div className="row">
        <TaskActions task={task} compact />
      </div>
    </li>
  );
}

function NeedyTask({ task }: { readonly task: TaskView }): ReactNode {
  return (
    <li className="card item">
      <StatusMark status={task.status} />
      <div className="grow">
        <Link to={`/tasks/${task.id}`} className="title whole">
          {task.title}
        </Link>
        <p className="step whole">{task.reason?.message ?? 'It waits for you to approve it.'}</p>
      </div>
      <StatusBadge status={task.status} />
      <div className="row">
        {awaitsDecision(task) ? (
          <Link to="/approvals" className="button small" aria-label={`Decide about ${task.title}`}>
            Decide
          </Link>
        ) : (
          <TaskActions task={task} compact />
        )}
      </div>
    </li>
  );
}

function Line({ task, when }: { readonly task: TaskView; readonly when: string }): ReactNode {
  const now = useNow(10_000);
  const run = task.runs.at(-1);
  return (
    <li className="line">
      <StatusMark status={task.status} />
      <Link to={closedStatuses.includes(task.status) && run ? `/runs/${run.id}` : `/tasks/${task.id}`} className="title">
        {task.title}
      </Link>
      {task.priority === 'high' && <span className="chip">High</span>}
      <time className="soft tabular" dateTime={when}>
        {ago(when, now)}
      </time>
    </li>
  );
}

function PauseButton({ paused }: { readonly paused: boolean }): ReactNode {
  const change = async (): Promise<void> => {
    const answer = await setPaused(!paused);
    if (!answer.ok) toast('bad', answer.refusal.message);
  };
  return (
    <Act className="quiet" onClick={change}>
      <Icon name={paused ? 'play' : 'pause'} /> {paused ? 'Resume' : 'Pause'}
    </Act>
  );
}

/** What is missing here, each with the command that mends it; and for who comes first, a way to see it at work. */
function Hints({ server, first }: { readonly server: ServerView; readonly first: boolean }): ReactNode {
  const noProvider = server.providers.length === 0;
  const noSandbox = !server.sandbox.active;
  if (!noProvider && !noSandbox && !first) return null;
  // One who gives all work by hand misses nothing; it is told beside what has to be mended anyway.
  const noSource = server.sources.length === 0;
  return (
    <section className="hints" aria-label={noProvider || noSandbox || noSource ? 'What is missing here' : 'A beginning'}>
      {noProvider && (
        <div className="hint">
          <h2>Agents cannot work yet: there is no model provider</h2>
          <p>Stop the server and start it with a key. Commands run without one.</p>
          <CommandLine command="LLM_API_KEY=sk-ant-… npm start" />
        </div>
      )}
      {noSandbox && (
        <div className="hint">
          <h2>There is no sandbox around agents</h2>
          <p>{server.sandbox.summary}</p>
          {server.sandbox.remedy !== null && <p>{server.sandbox.remedy}</p>}
          <CommandLine command="npx nightshift doctor" />
        </div>
      )}
      {(first || noProvider) && (
        <div className="hint">
          <h2>See it at work in a few seconds</h2>
          <p>
            An agent repairs a sample repository, here and now: the agent, its tools, the sandbox and the gates are real, only the model is
            a script. No key, no cost; its files go when it is over, and what it did stays.
          </p>
          <DemoButton />
        </div>
      )}
      {noSource && (
        <div className="hint">
          <h2>Work can come by itself: there is no source yet</h2>
          <p>
            From GitHub, TODO files and services that sign web hooks. Every open box in such a file is a task, ticked when it is done. What
            arrives is listed under <Link to="/sources">Sources</Link>.
          </p>
          <CommandLine command="TODO_FILES=/srv/app/TODO.md npm start" />
        </div>
      )}
    </section>
  );
}
