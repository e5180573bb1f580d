import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, type ReactNode, useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { get } from '../data/api.ts';
import { addTasks } from '../data/live.ts';
import { useLive, useNow } from '../data/use.ts';
import { needyStatuses, type Page, type Priority, priorities, type TaskStatus, type TaskView, waitingStatuses } from '../data/views.ts';
import { priorityNames } from '../parts/actions.tsx';
import { Icon } from '../parts/icons.tsx';
import { NewTaskButton } from '../parts/new-task-button.tsx';
import { Segments } from '../parts/segments.tsx';
import { StatusMark, wordOf } from '../parts/status.tsx';
import { CommandLine, Empty } from '../parts/text.tsx';
import { go, Link, useSearch } from '../router.tsx';
import { shortRepository } from '../text/repository.ts';
import { ago } from '../text/time.ts';
import { TaskPanel } from './task-panel.tsx';

interface View {
  readonly name: string;
  readonly statuses: readonly TaskStatus[] | undefined;
}

const views = {
  all: { name: 'All', statuses: undefined },
  running: { name: 'Running', statuses: ['running'] },
  waiting: { name: 'Waiting', statuses: waitingStatuses },
  needy: { name: 'Need you', statuses: needyStatuses },
  succeeded: { name: 'Succeeded', statuses: ['succeeded'] },
  failed: { name: 'Failed', statuses: ['failed'] },
  cancelled: { name: 'Cancelled', statuses: ['cancelled'] },
} as const satisfies Record<string, View>;

type Shown = keyof typeof views;
const choices = (Object.keys(views) as Shown[]).map((each) => [each, views[each].name] as const);

interface Filter {
  readonly shown: Shown;
  readonly priority: Priority | '';
  readonly search: string;
}

/** What the address says is shown: links can be kept and sent, and the way back works. */
function filterOf(address: string): Filter {
  const query = new URLSearchParams(address);
  const shown = query.get('show');
  return {
    shown: shown !== null && Object.hasOwn(views, shown) ? (shown as Shown) : 'all',
    priority: priorities.find((each) => each === query.get('priority')) ?? '',
    search: query.get('search') ?? '',
  };
}

function addressOf({ shown, priority, search }: Filter): string {
  const query = new URLSearchParams({
    ...(shown === 'all' ? {} : { show: shown }),
    ...(priority ? { priority } : {}),
    ...(search ? { search } : {}),
  }).toString();
  return query === '' ? '' : `?${query}`;
}

export function Tasks({ selected }: { readonly selected: string | undefined }): ReactNode {
  const address = useSearch();
  const filter = useMemo(() => filterOf(address), [address]);
  const { shown, priority, search } = filter;
  const suffix = addressOf(filter);
  const show = (change: Partial<Filter>): void => go(`${location.pathname}${addressOf({ ...filter, ...change })}`, 'replace');

  const all = useDeferredValue(useLive((state) => state.tasks));
  const statuses: readonly TaskStatus[] | undefined = views[shown].statuses;
  const found = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    return [...all.values()]
      .filter(
        (task) =>
          (statuses === undefined || statuses.includes(task.status)) &&
          (priority === '' || task.priority === priority) &&
          (words.length === 0 || matches(task, words)),
      )
      .sort((a, b) => (a.id < b.id ? 1 : -1));
  }, [all, statuses, priority, search]);
  const pages = usePages(statuses, priority);

  return (
    <div className={selected === undefined ? 'tasks' : 'tasks with-panel'}>
      <div className="page tasks-list">
        <header className="page-head">
          <h1>Tasks</h1>
          <NewTaskButton className="primary">
            <Icon name="plus" /> New task
          </NewTaskButton>
        </header>
        <search className="filters">
          <label className="search">
            <Icon name="search" size={16} />
            <span className="sr">Search title, body and repository</span>
            <input type="search" placeholder="Search" value={search} onChange={(event) => show({ search: event.target.value })} />
          </label>
          <label>
            <span className="sr">Priority</span>
            <select value={priority} onChange={(event) => show({ priority: event.target.value as Priority | '' })}>
              <option value="">Any priority</option>
              {priorities.map((each) => (
                <option key={each} value={each}>
                  {priorityNames[each]}
                </option>
              ))}
            </select>
          </label>
          <Segments label="Status" choices={choices} chosen={shown} choose={(each) => show({ shown: each })} />
        </search>
        <p className="sr" role="status">
          {found.length} tasks shown{pages.done ? '' : ', more on the server'}
        </p>
        {found.length === 0 && (pages.done || pages.failed) ? (
          <Empty title={all.size === 0 ? 'No tasks yet' : 'No task is like that'}>
            {all.size === 0 ? (
              <>
                <p>A task is a wish for work: a title, what to do, and in which repository. Write one here, or on the command line:</p>
                <CommandLine command='npx nightshift new "Fix the failing test" --repository https://github.com/you/project' />
              </>
            ) : (
              <p>Try another status or fewer words.</p>
            )}
          </Empty>
        ) : (
          <Rows tasks={found} selected={selected} suffix={suffix} more={pages} />
        )}
      </div>
      {selected !== undefined && <TaskPanel key={selected} id={selected} back={`/tasks${suffix}`} />}
    </div>
  );
}

function matches({ title, body, repository, id }: TaskView, words: readonly string[]): boolean {
  const text = `${title}\n${repository ?? ''}\n${id}\n${body ?? ''}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

interface Pages {
  readonly done: boolean;
  readonly failed: boolean;
  /** Fetches the next page, unless one is on its way. */
  more(): void;
}

interface Progress {
  /** Of which list, out of which snapshot. */
  readonly of: string;
  readonly cursor: string | null;
  readonly done: boolean;
  readonly failed: boolean;
}

const retryMs = 3_000;

/** The server's list for a filter, page by page, into the store. What is shown comes from the store. */
function usePages(statuses: readonly TaskStatus[] | undefined, priority: string): Pages {
  const query = `limit=200${statuses ? `&status=${statuses.join(',')}` : ''}${priority ? `&priority=${priority}` : ''}`;
  const live = useLive((state) => state.connection.kind === 'live');
  const snapshot = useLive((state) => state.snapshot);
  const of = `${query} ${snapshot}`;
  const [progress, setProgress] = useState<Progress>({ of, cursor: null, done: false, failed: false });
  const current = progress.of === of ? progress : { of, cursor: null, done: false, failed: false };
  const busy = useRef('');
  useEffect(() => {
    if (!current.failed) return;
    const timer = setTimeout(() => setProgress((last) => ({ ...last, failed: false })), retryMs);
    return () => clearTimeout(timer);
  }, [current.failed]);
  const more = async (): Promise<void> => {
    if (current.done || current.failed || busy.current === of || !live) return;
    busy.current = of;
    const answer = await get<Page<TaskView>>(`/tasks?${query}${current.cursor === null ? '' : `&cursor=${current.cursor}`}`);
    if (busy.current !== of) return; // another list meanwhile
    busy.current = '';
    if (!answer.ok) {
      setProgress({ ...current, failed: true });
      return;
    }
    addTasks(answer.value.items);
    setProgress({ of, cursor: answer.value.nextCursor, done: answer.value.nextCursor === null, failed: false });
  };
  return { done: current.done, failed: current.failed || !live, more: () => void more() };
}

function Rows({
  tasks,
  selected,
  suffix,
  more,
}: {
  readonly tasks: readonly TaskView[];
  readonly selected: string | undefined;
  readonly suffix: string;
  readonly more: Pages;
}): ReactNode {
  const list = useRef<HTMLUListElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => setTop(list.current?.offsetTop ?? 0), []);
  const virtual = useWindowVirtualizer({
    count: tasks.length,
    estimateSize: () => 60,
    overscan: 12,
    scrollMargin: top,
    getItemKey: (index) => tasks[index]?.id ?? index,
  });
  const rows = virtual.getVirtualItems();
  const atEnd = (rows.at(-1)?.index ?? -1) >= tasks.length - 30;
  useEffect(() => {
    if (atEnd) more.more();
  });

  /** The task that the keyboard has moved to, until its row has the focus: rows shift whenever a task comes or goes. */
  const wanted = useRef<string>(undefined);
  const focusWanted = (): void => {
    const row = [...(list.current?.children ?? [])].find((each) => (each as HTMLElement).dataset['task'] === wanted.current);
    if (wanted.current === undefined || !row) return;
    wanted.current = undefined;
    // Who has gone elsewhere meanwhile stays there.
    const { activeElement } = document;
    if (activeElement === document.body || list.current?.contains(activeElement)) row.querySelector('a')?.focus();
  };
  useLayoutEffect(focusWanted);

  const move = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowDown' || event.key === 'j' ? 1 : event.key === 'ArrowUp' || event.key === 'k' ? -1 : 0;
    const at = Number((event.target as HTMLElement).closest('li')?.dataset['index']);
    const to = at + step;
    const next = tasks[to];
    if (step === 0 || next === undefined) return;
    event.preventDefault();
    wanted.current = next.id;
    virtual.scrollToIndex(to);
    focusWanted();
  };

  return (
    <>
      <ul ref={list} className="rows" style={{ height: virtual.getTotalSize() }} onKeyDown={move} aria-label="Tasks">
        {rows.map((row) => {
          const task = tasks[row.index];
          return (
            task && (
              <li
                key={row.key}
                data-index={row.index}
                data-task={task.id}
                aria-setsize={more.done ? tasks.length : -1}
                aria-posinset={row.index + 1}
                style={{ transform: `translateY(${row.start - top}px)`, height: row.size }}
              >
                <Row task={task} current={task.id === selected} to={`/tasks/${task.id}${suffix}`} />
              </li>
            )
          );
        })}
      </ul>
      {!more.done && <p className="soft center">{more.failed ? 'More is on the server.' : 'Loading more…'}</p>}
    </>
  );
}

function Row({ task, current, to }: { readonly task: TaskView; readonly current: boolean; readonly to: string }): ReactNode {
  const now = useNow(15_000);
  return (
    <Link to={to} className="row-link" aria-current={current ? 'true' : undefined}>
      <StatusMark status={task.status} />
      <span className="row-text">
        <span className="title">{task.title}</span>
        <span className="soft truncate">
          {wordOf(task.status)}
          {task.repository !== null && ` · ${shortRepository(task.repository)}`}
          {task.reason !== null && ` · ${task.reason.message}`}
        </span>
      </span>
      {task.priority !== 'medium' && <span className={`chip ${task.priority}`}>{priorityNames[task.priority]}</span>}
      <time className="soft tabular" dateTime={task.createdAt}>
        {ago(task.createdAt, now)}
      </time>
    </Link>
  );
}
