import { type ReactNode, useEffect, useMemo, useState } from 'react';
import { fetchTask } from '../data/live.ts';
import { countsOf } from '../data/state.ts';
import { useLive, useNow } from '../data/use.ts';
import { awaitsApproval, needyStatuses, type TaskView } from '../data/views.ts';
import { TaskActions } from '../parts/actions.tsx';
import { Decide, TakenOver, type Work } from '../parts/decide.tsx';
import { Scrolling } from '../parts/scrolling.tsx';
import { StatusBadge } from '../parts/status.tsx';
import { Address, Empty, Prose } from '../parts/text.tsx';
import { Link } from '../router.tsx';
import { ago, fullTime } from '../text/time.ts';

/** All that goes on only when a person says how, the longest waiting first. */
export function Approvals(): ReactNode {
  const tasks = useLive((state) => state.tasks);
  const total = useLive((state) => countsOf(state.queue).needy);
  const [taken, setTaken] = useState<readonly { readonly title: string; readonly work: Work }[]>([]);
  const needy = useMemo(
    () => [...tasks.values()].filter(({ status }) => needyStatuses.includes(status)).sort((a, b) => (a.updatedAt < b.updatedAt ? -1 : 1)),
    [tasks],
  );
  const more = total - needy.length;
  return (
    <div className="page narrow">
      <header className="page-head">
        <div>
          <h1>Approvals</h1>
          <p className="soft">What goes on only when a person says how, the longest waiting first.</p>
        </div>
      </header>
      {taken.map(({ title, work }) => (
        <TakenOver key={work.runId} title={title} work={work} />
      ))}
      {needy.length === 0 ? (
        <Empty title="Nothing waits for you">
          <p>
            Here come plans that want a yes, tasks from people who are not known here, what agents got stuck with, and what ran out of its
            budget. Each says why, and what can be done.
          </p>
        </Empty>
      ) : (
        <ul className="list">
          {needy.map((task) => (
            <Request key={task.id} task={task} takenOver={(work) => setTaken([...taken, { title: task.title, work }])} />
          ))}
        </ul>
      )}
      {more > 0 && (
        <p className="soft">
          {more === 1 ? 'One more waits' : `${more} more wait`} after these. <Link to="/tasks?show=needy">See all of them</Link>.
        </p>
      )}
    </div>
  );
}

function Request({ task, takenOver }: { readonly task: TaskView; readonly takenOver: (work: Work) => void }): ReactNode {
  const now = useNow(30_000);
  const live = useLive((state) => state.connection.kind === 'live');
  const run = task.runs.at(-1);
  useEffect(() => {
    // A list cuts its bodies short, and nobody should say yes to what they have not seen the end of.
    if (live) void fetchTask(task.id);
  }, [task.id, live]);
  return (
    <li className="card request">
      <header>
        <h2>
          <Link to={`/tasks/${task.id}`} className="title">
            {task.title}
          </Link>
        </h2>
        <StatusBadge status={task.status} />
      </header>
      <p className="soft step whole">
        {`Asked for by ${task.requestedBy} through ${task.source}`}
        {task.trust === 'untrusted' && ', who is not known here'}
        {', '}
        <time dateTime={task.createdAt} title={fullTime(task.createdAt)}>
          {ago(task.createdAt, now)}
        </time>
        {task.repository !== null && (
          <>
            {' · '}
            <Address text={task.repository} whole />
          </>
        )}
      </p>
      {task.reason && <p className="reason">{task.reason.message}</p>}
      {task.body !== null && task.body !== '' && (
        <Scrolling className="request-body" label={`What ${task.title} asks for`}>
          <Prose text={task.body} />
        </Scrolling>
      )}
      {run && (
        <p>
          <Link to={`/runs/${run.id}`}>
            {task.runs.length === 1 ? 'See what its run has done' : `See the last of its ${task.runs.length} runs`}
          </Link>
        </p>
      )}
      {awaitsApproval(task) ? (
        <div className="row">
          <TaskActions task={task} />
        </div>
      ) : (
        <Decide task={task} takenOver={takenOver} />
      )}
    </li>
  );
}
