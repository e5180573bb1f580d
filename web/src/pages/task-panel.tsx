import { type ReactNode, useEffect, useRef, useState } from 'react';
import { fetchTask } from '../data/live.ts';
import { useLive, useNow } from '../data/use.ts';
import { awaitsDecision, type TaskView } from '../data/views.ts';
import { PriorityChoice, TaskActions } from '../parts/actions.tsx';
import { Decide, TakenOver, type Work } from '../parts/decide.tsx';
import { DependencyGraph } from '../parts/dependencies.tsx';
import { Icon } from '../parts/icons.tsx';
import { StatusBadge } from '../parts/status.tsx';
import { Address, Empty, Prose } from '../parts/text.tsx';
import { go, Link } from '../router.tsx';
import { ago, fullTime } from '../text/time.ts';

/** All about one task, beside the list or, where there is no room, instead of it. */
export function TaskPanel({ id, back }: { readonly id: string; readonly back: string }): ReactNode {
  const task = useLive((state) => state.tasks.get(id));
  const live = useLive((state) => state.connection.kind === 'live');
  const [refused, setRefused] = useState<string>();
  const [work, setWork] = useState<Work>();
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // Lists cut bodies short, and a task may not be among those that were listed.
    if (live) void fetchTask(id).then((answer) => setRefused(answer.ok ? undefined : answer.refusal.message));
  }, [id, live]);
  useEffect(() => heading.current?.focus(), []);

  return (
    <aside
      className="panel"
      aria-label="Task"
      onKeyDown={(event) => {
        if (event.key === 'Escape') go(back);
      }}
    >
      <div className="panel-bar">
        {task && <StatusBadge status={task.status} calledOff={task.status === 'running' && task.cancelRequestedAt !== null} />}
        <Link to={back} className="button ghost" aria-label="Close the task">
          <Icon name="close" />
        </Link>
      </div>
      {task ? (
        <>
          <h1 ref={heading} tabIndex={-1} className="panel-title">
            {task.title}
          </h1>
          {task.reason && <p className="reason">{task.reason.message}</p>}
          {work && <TakenOver title={task.title} work={work} />}
          <Decide task={task} takenOver={setWork} />
          {!awaitsDecision(task) && (
            <div className="row">
              <TaskActions task={task} />
            </div>
          )}
          <Runs task={task} />
          {task.body !== null && task.body !== '' && (
            <section>
              <h2>{task.engine === 'command' ? 'Command' : 'What to do'}</h2>
              {task.engine === 'command' ? <p className="code">{task.body}</p> : <Prose text={task.body} />}
            </section>
          )}
          <DependencyGraph task={task} />
          <Facts task={task} />
        </>
      ) : refused === undefined ? (
        <p className="soft" role="status">
          Loading…
        </p>
      ) : (
        <Empty title="There is no such task">
          <p>{refused}</p>
        </Empty>
      )}
    </aside>
  );
}

function Runs({ task }: { readonly task: TaskView }): ReactNode {
  if (task.runs.length === 0) return null;
  return (
    <section>
      <h2>Runs</h2>
      <ul className="list tight">
        {[...task.runs].reverse().map(({ id, status }, index) => (
          <li key={id}>
            <Link to={`/runs/${id}`} className="run-link">
              <span>Run {task.runs.length - index}</span>
              <StatusBadge status={status} />
              <Icon name="chevron" size={16} />
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Facts({ task }: { readonly task: TaskView }): ReactNode {
  const now = useNow(15_000);
  const facts: readonly (readonly [string, ReactNode] | false)[] = [
    ['Priority', <PriorityChoice key="priority" task={task} />],
    task.repository !== null && ['Repository', <Address key="repository" text={task.repository} whole />],
    task.ref !== null && [
      'Begins at',
      <span key="ref" className="code">
        {task.ref}
      </span>,
    ],
    ['Engine', task.engine ?? 'the default'],
    task.verify !== null && [
      'Check',
      <span key="verify" className="code">
        {task.verify.join(' ')}
      </span>,
    ],
    task.doneWhen !== null && ['Done when', task.doneWhen],
    task.profile !== 'default' && ['Profile', task.profile],
    task.tier !== null && ['Model', task.tier],
    task.labels.length > 0 && ['Labels', task.labels.join(', ')],
    ['Attempts', `${task.attempts} of ${task.maxAttempts}`],
    task.notBefore !== null && ['Not before', fullTime(task.notBefore)],
    task.budgetUsd !== null && ['Budget', `$${task.budgetUsd}`],
    task.dedupeKey !== null && [
      'Key',
      <span key="key" className="code">
        {task.dedupeKey}
      </span>,
    ],
    [
      'Asked for',
      <>
        {`by ${task.requestedBy} through ${task.source}, `}
        <time dateTime={task.createdAt} title={fullTime(task.createdAt)}>
          {ago(task.createdAt, now)}
        </time>
      </>,
    ],
    task.closedAt !== null && [
      'Ended',
      <time key="closed" dateTime={task.closedAt} title={fullTime(task.closedAt)}>
        {ago(task.closedAt, now)}
      </time>,
    ],
    [
      'Id',
      <span key="id" className="code">
        {task.id}
      </span>,
    ],
  ];
  return (
    <section>
      <h2>Details</h2>
      <dl className="facts">
        {facts.map(
          (fact) =>
            fact && (
              <div key={fact[0]}>
                <dt>{fact[0]}</dt>
                <dd>{fact[1]}</dd>
              </div>
            ),
        )}
      </dl>
    </section>
  );
}
