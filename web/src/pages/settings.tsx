import { type ReactNode, useEffect, useState } from 'react';
import { signOut } from '../data/live.ts';
import { useLive, useMay, useNow } from '../data/use.ts';
import { Act } from '../parts/act.tsx';
import { AuditLog } from '../parts/audit.tsx';
import { ApiKeys } from '../parts/keys.tsx';
import { Notifications } from '../parts/notifications.tsx';
import { toast } from '../parts/toast.tsx';
import { ago, fullTime } from '../text/time.ts';
import { chooseTheme, chosenTheme, onThemeElsewhere, type Theme, themes } from '../theme.ts';

export function Settings(): ReactNode {
  const may = useMay('owner');
  return (
    <div className="page narrow">
      <header className="page-head">
        <h1>Settings</h1>
      </header>
      <Appearance />
      <Notifications />
      <ThisServer />
      {may && <ApiKeys />}
      {may && <AuditLog />}
      <You />
    </div>
  );
}

const themeNames: Readonly<Record<Theme, string>> = { system: 'As the system', light: 'Light', dark: 'Dark' };

function Appearance(): ReactNode {
  const [theme, setTheme] = useState(chosenTheme());
  useEffect(() => onThemeElsewhere(setTheme), []);
  return (
    <section className="card">
      <h2>Appearance</h2>
      <fieldset className="choices">
        <legend className="sr">Theme</legend>
        {themes.map((each) => (
          <label key={each} className="choice">
            <input
              type="radio"
              name="theme"
              value={each}
              checked={theme === each}
              onChange={() => {
                chooseTheme(each);
                setTheme(each);
              }}
            />
            <span>{themeNames[each]}</span>
          </label>
        ))}
      </fieldset>
    </section>
  );
}

function ThisServer(): ReactNode {
  const server = useLive((state) => state.server);
  const nodes = useLive((state) => state.queue?.nodes) ?? [];
  const now = useNow(30_000);
  if (!server) return null;
  const facts: readonly (readonly [string, ReactNode])[] = [
    ['Version', server.version],
    ['Up since', <time key="up" dateTime={server.startedAt}>{`${fullTime(server.startedAt)} (${ago(server.startedAt, now)})`}</time>],
    ['Store', server.store === 'sqlite' ? 'SQLite in its home' : 'PostgreSQL'],
    ['Runs at once', server.capacity],
    ['Engines', server.engines.map((engine) => (engine === server.defaultEngine ? `${engine} (default)` : engine)).join(', ')],
    [
      'Models',
      server.providers.length === 0 ? 'no provider is set up' : [...server.providers, ...(server.model ? [server.model] : [])].join(', '),
    ],
    ['Sandbox', server.sandbox.summary],
    ['Nodes', nodes.length === 0 ? 'this one' : nodes.map(({ id, address }) => address ?? id).join(', ')],
  ];
  return (
    <section className="card">
      <h2>This server</h2>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <p className="soft">
        Programs talk to it through the <a href="/api/docs">HTTP API</a>; Prometheus finds figures at <a href="/metrics">/metrics</a>.
      </p>
    </section>
  );
}

function You(): ReactNode {
  const session = useLive((state) => state.session);
  const leave = async (): Promise<void> => {
    const answer = await signOut();
    if (!answer.ok) toast('bad', answer.refusal.message);
  };
  return (
    <section className="card">
      <h2>You</h2>
      <p>
        Logged in as <strong>{session?.user}</strong>
        {session && session.role !== session.user && <> ({session.role})</>}
        {session?.expiresAt && <> until {fullTime(session.expiresAt)}</>}.
      </p>
      <p className="soft">
        Logging out also removes what this browser keeps for reading offline. <code>nightshift token rotate</code> ends every session.
      </p>
      <div className="row">
        <Act onClick={leave}>Log out</Act>
      </div>
    </section>
  );
}
