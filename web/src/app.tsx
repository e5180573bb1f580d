import { type ReactNode, useDeferredValue, useEffect, useState } from 'react';
import { countsOf } from './data/state.ts';
import { useLive, useNow, useSettled } from './data/use.ts';
import { Login } from './pages/login.tsx';
import { Now } from './pages/now.tsx';
import { RunPage } from './pages/run.tsx';
import { Icon, type IconName, Logo } from './parts/icons.tsx';
import { Lazily, lazyPart } from './parts/lazily.tsx';
import { Toasts } from './parts/toast.tsx';
import { type Route, routeOf } from './route.ts';
import { Link, usePath } from './router.tsx';
import { clockTime, fullTime } from './text/time.ts';

/** *Now* and *Run* are what is opened first; each of the others comes when it is gone to. */
const parts = {
  tasks: lazyPart(async () => (await import('./pages/tasks.tsx')).Tasks),
  approvals: lazyPart(async () => (await import('./pages/approvals.tsx')).Approvals),
  safety: lazyPart(async () => (await import('./pages/safety.tsx')).Safety),
  sources: lazyPart(async () => (await import('./pages/sources.tsx')).Sources),
  notes: lazyPart(async () => (await import('./pages/notes.tsx')).Notes),
  trends: lazyPart(async () => (await import('./pages/trends.tsx')).Trends),
  usage: lazyPart(async () => (await import('./pages/usage.tsx')).Usage),
  workspaces: lazyPart(async () => (await import('./pages/workspaces.tsx')).Workspaces),
  settings: lazyPart(async () => (await import('./pages/settings.tsx')).Settings),
};

/** Has the page on its way before there is anything to show on it. */
export function prepare({ page }: Route): void {
  if (page in parts) parts[page as keyof typeof parts].ahead();
}

export function App(): ReactNode {
  const session = useLive((state) => state.session);
  // Deferred, it is drawn in small steps, and a tap meanwhile is heard.
  const loaded = useDeferredValue(useLive((state) => state.loaded));
  if (session === null) return <Frameless content={<Login />} />;
  if (!loaded) return <Frameless content={<Arriving />} />;
  return <Shell />;
}

const Frameless = ({ content }: { readonly content: ReactNode }): ReactNode => (
  <>
    {content}
    <Toasts />
  </>
);

/** Nothing for a moment: a page that flashes up and is replaced is worse than none. index.html holds the same, for the time before. */
function Arriving(): ReactNode {
  const connection = useLive((state) => state.connection);
  return (
    <main className="arriving" aria-busy="true">
      <Logo />
      <p role="status">{connection.kind === 'lost' ? 'The server does not answer. Trying again…' : 'Loading…'}</p>
    </main>
  );
}

interface NavItem {
  readonly to: string;
  readonly name: string;
  readonly icon: IconName;
  readonly pages: readonly Route['page'][];
}

const nav: readonly NavItem[] = [
  { to: '/', name: 'Now', icon: 'now', pages: ['now'] },
  { to: '/tasks', name: 'Tasks', icon: 'tasks', pages: ['tasks', 'run'] },
  { to: '/approvals', name: 'Approvals', icon: 'hand', pages: ['approvals'] },
  { to: '/sources', name: 'Sources', icon: 'sources', pages: ['sources'] },
];

/** On a phone the bar at the foot has no room for these. */
const later: readonly NavItem[] = [
  { to: '/notes', name: 'Notes', icon: 'note', pages: ['notes'] },
  { to: '/trends', name: 'Trends', icon: 'trend', pages: ['trends'] },
  { to: '/usage', name: 'Usage', icon: 'budget', pages: ['usage'] },
  { to: '/safety', name: 'Safety', icon: 'shield', pages: ['safety'] },
  { to: '/workspaces', name: 'Workspaces', icon: 'folder', pages: ['workspaces'] },
  { to: '/settings', name: 'Settings', icon: 'settings', pages: ['settings'] },
];

const titles: Readonly<Record<Route['page'], string>> = {
  now: 'Now',
  tasks: 'Tasks',
  run: 'Run',
  approvals: 'Approvals',
  safety: 'Safety',
  sources: 'Sources',
  notes: 'Notes',
  trends: 'Trends',
  usage: 'Usage',
  workspaces: 'Workspaces',
  settings: 'Settings',
  lost: 'Not found',
};

function Shell(): ReactNode {
  const path = usePath();
  const route = routeOf(path);
  const needy = useLive((state) => countsOf(state.queue).needy);
  useEffect(() => {
    document.title = `${needy > 0 ? `(${needy}) ` : ''}${titles[route.page]} · Nightshift`;
  }, [route.page, needy]);
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <header className="side">
        <Link to="/" className="brand" aria-label="Nightshift: now">
          <Logo />
          <span>Nightshift</span>
        </Link>
        <Pages route={route} needy={needy} />
        <ConnectionSign />
      </header>
      <main id="main" tabIndex={-1}>
        <Away />
        <PageOf route={route} />
      </main>
      <Toasts />
    </div>
  );
}

function Pages({ route, needy }: { readonly route: Route; readonly needy: number }): ReactNode {
  const [open, setOpen] = useState(false);
  const path = usePath();
  // biome-ignore lint/correctness/useExhaustiveDependencies: who has gone somewhere has chosen
  useEffect(() => setOpen(false), [path]);
  const linkOf = ({ to, name, icon, pages }: NavItem): ReactNode => (
    <Link key={to} to={to} className="nav" title={name} aria-current={pages.includes(route.page) ? 'page' : undefined}>
      <Icon name={icon} />
      <span>{name}</span>
      {to === '/approvals' && needy > 0 && (
        <span className="count" role="img" aria-label={`${needy} need a person`}>
          {needy}
        </span>
      )}
    </Link>
  );
  return (
    <nav
      aria-label="Pages"
      onKeyDown={(event) => {
        if (event.key === 'Escape') setOpen(false);
      }}
      onBlur={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget)) setOpen(false);
      }}
    >
      {nav.map(linkOf)}
      <button
        type="button"
        className={later.some(({ pages }) => pages.includes(route.page)) ? 'nav nav-more here' : 'nav nav-more'}
        aria-expanded={open}
        aria-controls="more-pages"
        onClick={() => setOpen(!open)}
      >
        <Icon name="more" />
        <span>More</span>
      </button>
      <div id="more-pages" className={open ? 'nav-later open' : 'nav-later'}>
        {later.map(linkOf)}
      </div>
    </nav>
  );
}

function PageOf({ route }: { readonly route: Route }): ReactNode {
  switch (route.page) {
    case 'now':
      return <Now />;
    case 'tasks':
      return <Lazily part={parts.tasks} props={{ selected: route.task }} />;
    case 'run':
      return <RunPage key={route.run} id={route.run} />;
    case 'approvals':
      return <Lazily part={parts.approvals} props={{}} />;
    case 'safety':
      return <Lazily part={parts.safety} props={{}} />;
    case 'sources':
      return <Lazily key={route.view} part={parts.sources} props={{ view: route.view }} />;
    case 'notes':
      return <Lazily part={parts.notes} props={{}} />;
    case 'trends':
      return <Lazily part={parts.trends} props={{}} />;
    case 'usage':
      return <Lazily part={parts.usage} props={{}} />;
    case 'workspaces':
      return <Lazily part={parts.workspaces} props={{}} />;
    case 'settings':
      return <Lazily part={parts.settings} props={{}} />;
    case 'lost':
      return (
        <div className="page">
          <h1>There is no such page</h1>
          <p className="soft">
            The address may be mistyped. <Link to="/">See what is going on now</Link>.
          </p>
        </div>
      );
  }
}

/** That nothing can be done, and why. A moment without a connection is not worth a line that moves the page. */
function Away(): ReactNode {
  const connection = useLive((state) => state.connection);
  const away = connection.kind === 'lost';
  const stays = useSettled(away, 3_000);
  if (!away || !(stays || Date.now() - connection.since > 60_000)) return null;
  return (
    <p className="away warn">
      The server does not answer. What is shown is from {fullTime(connection.since)}; nothing can be changed until it is back.
    </p>
  );
}

/** Whether what is shown is true at this moment; if not, from when it is. */
function ConnectionSign(): ReactNode {
  const connection = useLive((state) => state.connection);
  const now = useNow(5_000);
  const long = connection.kind === 'lost' && now - connection.since > 15_000;
  return (
    <p className={`connection ${connection.kind}`} role="status">
      <span className="dot" aria-hidden="true" />
      {connection.kind === 'live' && <span className="words">Live</span>}
      {connection.kind === 'connecting' && <span className="words">Connecting…</span>}
      {connection.kind === 'lost' && (
        <span className="words">
          {long ? 'Offline' : 'Not connected'} <span className="since">as of {clockTime(connection.since)}</span>
        </span>
      )}
    </p>
  );
}
