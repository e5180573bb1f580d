import { type ReactNode, useDeferredValue, useEffect, useMemo, useState } from 'react';
import { bringRun, openTranscript } from '../data/live.ts';
import { emptyTranscript } from '../data/transcript.ts';
import { useLive, useNow, useTranscript } from '../data/use.ts';
import type { RunView, TaskView } from '../data/views.ts';
import { TaskActions } from '../parts/actions.tsx';
import { Checkpoints } from '../parts/checkpoints.tsx';
import { DiffView } from '../parts/diff.tsx';
import { EventList } from '../parts/event-list.tsx';
import { Icon } from '../parts/icons.tsx';
import { Lazily, lazyPart } from '../parts/lazily.tsx';
import { excuses, Rounds } from '../parts/rounds.tsx';
import { StatusBadge } from '../parts/status.tsx';
import { Tabs } from '../parts/tabs.tsx';
import { Address, CommandLine, Empty, Prose } from '../parts/text.tsx';
import { TranscriptView } from '../parts/transcript.tsx';
import { Link, useAddressed } from '../router.tsx';
import { count, money } from '../text/amount.ts';
import { duration, elapsed } from '../text/time.ts';

const views = ['transcript', 'changes', 'gates', 'checkpoints', 'cost', 'events'] as const;
type Tab = (typeof views)[number];

const runCost = lazyPart(async () => (await import('../parts/run-cost.tsx')).RunCost);

export function RunPage({ id }: { readonly id: string }): ReactNode {
  const run = useLive((state) => state.runs.get(id));
  const task = useLive((state) => (run ? state.tasks.get(run.taskId) : undefined));
  const connection = useLive((state) => state.connection.kind);
  const live = connection === 'live';
  const [refused, setRefused] = useState<string>();
  const [tab, setTab] = useAddressed<Tab>('tab', views);
  useEffect(() => openTranscript(id), [id]);
  useEffect(() => {
    if (!live) return;
    void bringRun(id).then((refusal) => setRefused(refusal?.message));
  }, [id, live]);

  // Its title is the task's.
  if (!run || (!task && connection !== 'lost')) {
    return (
      <div className="page">
        {refused === undefined ? (
          <p className="soft" role="status">
            {connection === 'lost' ? 'This run was not kept for reading offline.' : 'Loading…'}
          </p>
        ) : (
          <>
            <h1>There is no such run</h1>
            <p className="soft">
              {refused} <Link to="/tasks">All tasks</Link> lead to theirs.
            </p>
          </>
        )}
      </div>
    );
  }
  const tabs: readonly (readonly [Tab, ReactNode])[] = [
    ['transcript', 'Transcript'],
    ['changes', named('Changes', run.filesChanged.length)],
    ['gates', named('Gates', run.rounds.at(-1)?.verdicts.length ?? 0)],
    ['checkpoints', 'Checkpoints'],
    ['cost', 'Cost'],
    ['events', 'Events'],
  ];
  return (
    <div className="page run">
      <Head run={run} task={task} />
      <Figures run={run} />
      <Result run={run} />
      <Tabs label="Views of the run" tabs={tabs} chosen={tab} choose={setTab}>
        {tab === 'transcript' && <TranscriptTab id={id} running={run.status === 'running'} />}
        {tab === 'changes' && <Changes run={run} />}
        {tab === 'gates' && <Rounds run={run} />}
        {tab === 'checkpoints' && <CheckpointsTab run={run} />}
        {tab === 'cost' && <Lazily part={runCost} props={{ run }} />}
        {tab === 'events' && <EventsTab id={id} />}
      </Tabs>
    </div>
  );
}

/** So much of something, where there is any. */
const named = (name: string, many: number): ReactNode => (
  <>
    {name} {many > 0 && <span className="soft">{many}</span>}
  </>
);

function Head({ run, task }: { readonly run: RunView; readonly task: TaskView | undefined }): ReactNode {
  return (
    <header className="run-head">
      <Link to={`/tasks/${run.taskId}`} className="back">
        <Icon name="back" size={16} /> Task
      </Link>
      <div className="page-head">
        <div>
          <h1 className="title" title={task?.title}>
            {task?.title ?? run.taskId}
          </h1>
          <p className="soft run-line">
            <StatusBadge status={run.status} calledOff={run.status === 'running' && (task?.cancelRequestedAt ?? null) !== null} />
            <span>Attempt {run.attempt}</span>
            {task?.repository && <Address text={task.repository} />}
          </p>
        </div>
        {task && task.runs.at(-1)?.id === run.id && (
          <div className="row">
            <TaskActions task={task} />
          </div>
        )}
      </div>
    </header>
  );
}

function Figures({ run }: { readonly run: RunView }): ReactNode {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = run.tokens;
  return (
    <dl className="tiles small-tiles">
      <div className="tile">
        <dt>Time</dt>
        <dd>
          <Took run={run} />
        </dd>
      </div>
      <div className="tile">
        <dt>Cost</dt>
        <dd>{money(run.costUsd)}</dd>
      </div>
      <div className="tile">
        <dt>Tokens read</dt>
        <dd title={`${count(inputTokens)} new, ${count(cacheReadTokens)} from the cache, ${count(cacheWriteTokens)} into the cache`}>
          {count(inputTokens + cacheReadTokens + cacheWriteTokens)}
        </dd>
      </div>
      <div className="tile">
        <dt>Tokens written</dt>
        <dd>{count(outputTokens)}</dd>
      </div>
      <div className="tile">
        <dt>Tool calls</dt>
        <dd>{run.toolCalls}</dd>
      </div>
    </dl>
  );
}

function Took({ run }: { readonly run: RunView }): ReactNode {
  const now = useNow(1_000);
  return run.durationMs === null ? elapsed(now - Date.parse(run.startedAt)) : duration(run.durationMs);
}

/** How it ended, whether the check agrees, and how to get at the work. */
function Result({ run }: { readonly run: RunView }): ReactNode {
  const { tests, delivery, reason, summary, notGreen } = run;
  if (notGreen.length === 0 && !tests && !delivery && !reason && !summary) return null;
  return (
    <section className="card result" aria-label="Result">
      {reason && <p className="reason">{reason.message}</p>}
      {summary && <Prose text={summary} />}
      {tests && (
        <p className="tests">
          <span className={`badge ${tests.passed ? 'good' : 'bad'}`}>
            <Icon name={tests.passed ? 'check' : 'cross'} size={14} /> {tests.passed ? 'The check passed' : 'The check failed'}
          </span>
          <span className="code">{tests.command.join(' ')}</span>
          {tests.counts && (
            <span className="soft">
              {tests.counts.passed} passed, {tests.counts.failed} failed
              {tests.counts.skipped > 0 && `, ${tests.counts.skipped} skipped`}
            </span>
          )}
        </p>
      )}
      {notGreen.length > 0 && (
        <ul className="not-green" aria-label="Not green, and excused">
          {notGreen.map(({ gate, excuse, summary }) => (
            <li key={gate} className="tests">
              <span className="badge warn">{excuses[excuse]}</span>
              <span className="tool-name">{gate}</span>
              <span className="soft">{summary}</span>
            </li>
          ))}
        </ul>
      )}
      {delivery && (
        <div className="delivery">
          <p>
            {delivery.kind === 'left-in-mirror' ? 'The work is kept on the server, on branch ' : 'The work is on branch '}
            <span className="code">{delivery.branch}</span>
            {delivery.kind === 'left-in-mirror' && delivery.fetchCommand !== undefined && '. This gets it into your clone:'}
          </p>
          {delivery.fetchCommand !== undefined && <CommandLine command={delivery.fetchCommand} />}
        </div>
      )}
    </section>
  );
}

function TranscriptTab({ id, running }: { readonly id: string; readonly running: boolean }): ReactNode {
  // Of a long one, each batch is much to draw; whoever scrolls meanwhile comes first.
  const transcript = useDeferredValue(useTranscript(id));
  const lost = useLive((state) => state.connection.kind === 'lost');
  if (transcript === undefined || transcript.items.length === 0) {
    const why = lost ? 'Nothing of it was kept for reading offline.' : transcript === undefined ? 'Loading…' : 'Nothing has been said yet.';
    return (
      <p className="soft pad" role="status">
        {why}
      </p>
    );
  }
  return <TranscriptView items={transcript.items} running={running} />;
}

function EventsTab({ id }: { readonly id: string }): ReactNode {
  const { events } = useTranscript(id) ?? emptyTranscript;
  return <EventList events={events} />;
}

function CheckpointsTab({ run }: { readonly run: RunView }): ReactNode {
  const { events } = useTranscript(run.id) ?? emptyTranscript;
  const told = useMemo(() => events.filter(({ type }) => type === 'run.checkpoint' || type === 'run.rewound').length, [events]);
  return <Checkpoints run={run} told={told} />;
}

function Changes({ run }: { readonly run: RunView }): ReactNode {
  if (run.filesChanged.length === 0 && !run.diff) {
    return (
      <Empty title="No file was changed">
        <p>
          {run.status === 'running'
            ? 'The patch is here as soon as the work is committed.'
            : 'The run left the repository as it was, or worked without one.'}
        </p>
      </Empty>
    );
  }
  return <DiffView run={run} />;
}
