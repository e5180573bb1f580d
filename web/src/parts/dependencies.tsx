import { type ReactNode, useEffect, useMemo } from 'react';
import { fetchTask } from '../data/live.ts';
import { useLive } from '../data/use.ts';
import type { TaskView } from '../data/views.ts';
import { Link, useSearch } from '../router.tsx';
import { type Level, levelsAround } from '../text/graph.ts';
import { StatusMark } from './status.tsx';

const rowHeight = 76;
const nodeHeight = 44;

/** What this task waits for and what waits for it, level by level; the arrows run downwards. */
export function DependencyGraph({ task }: { readonly task: TaskView }): ReactNode {
  const tasks = useLive((state) => state.tasks);
  /** The list beside it stays as it is. */
  const filter = useSearch();
  const { levels, edges, unknown } = useMemo(() => levelsAround(task, tasks), [task, tasks]);
  const missing = unknown.join();
  useEffect(() => {
    for (const id of missing.split(',').filter(Boolean)) void fetchTask(id);
  }, [missing]);
  if (levels.length === 1) return null;

  const places = new Map(
    levels.flatMap(({ ids }, row) => ids.map((id, i) => [id, { x: ((i + 0.5) / ids.length) * 100, y: row * rowHeight }] as const)),
  );
  const height = (levels.length - 1) * rowHeight + nodeHeight;
  return (
    <section>
      <h2>Dependencies</h2>
      <div className="graph" style={{ height }}>
        <svg viewBox={`0 0 100 ${height}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
          {edges.map(([from, to]) => {
            const [a, b] = [places.get(from), places.get(to)];
            if (!a || !b) return null;
            const [top, bottom] = [a.y + nodeHeight, b.y];
            const middle = (top + bottom) / 2;
            return <path key={`${from} ${to}`} d={`M${a.x} ${top}C${a.x} ${middle} ${b.x} ${middle} ${b.x} ${bottom}`} />;
          })}
        </svg>
        {levels.map((level, row) => (
          <ul key={level.name} aria-label={level.name} style={{ top: row * rowHeight, height: nodeHeight }}>
            {level.ids.map((id) => (
              <Node key={id} id={id} task={tasks.get(id)} to={`/tasks/${id}${filter}`} isThis={id === task.id} />
            ))}
          </ul>
        ))}
      </div>
      {levels.some(({ more }) => more > 0) && <p className="soft">{moreText(levels)}</p>}
    </section>
  );
}

const moreText = (levels: readonly Level[]): string =>
  levels
    .filter(({ more }) => more > 0)
    .map(({ name, more }) => `${name}: ${more} more`)
    .join(' · ');

interface NodeProps {
  readonly id: string;
  readonly task: TaskView | undefined;
  readonly to: string;
  readonly isThis: boolean;
}

function Node({ task, id, to, isThis }: NodeProps): ReactNode {
  return (
    <li className={isThis ? 'node this' : 'node'}>
      <Link to={to} aria-current={isThis ? 'true' : undefined}>
        {task && <StatusMark status={task.status} />}
        <span className="truncate">{task?.title ?? id}</span>
      </Link>
    </li>
  );
}
