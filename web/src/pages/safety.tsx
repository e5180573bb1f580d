import { type ReactNode, useCallback, useEffect, useState } from 'react';
import { type Answer, call, get } from '../data/api.ts';
import { countsOf } from '../data/state.ts';
import { useLive, useMay, useNow, useRepeat } from '../data/use.ts';
import type { BackupsView, ExaminationView, QueueView } from '../data/views.ts';
import { Act } from '../parts/act.tsx';
import { Alerts } from '../parts/alerts.tsx';
import { Bar } from '../parts/bar.tsx';
import { Icon } from '../parts/icons.tsx';
import { Providers } from '../parts/providers.tsx';
import { Prose } from '../parts/text.tsx';
import { toast } from '../parts/toast.tsx';
import { bytes } from '../text/amount.ts';
import { ago } from '../text/time.ts';

/** The nodes that work, what holds around them, and what is wrong with any of it. */
export function Safety(): ReactNode {
  return (
    <div className="page narrow">
      <header className="page-head">
        <div>
          <h1>Safety</h1>
          <p className="soft">The nodes that work, what holds around agents, and how it all stands.</p>
        </div>
      </header>
      <Alerts otherwise={<p className="banner good">Nothing is wrong, as far as is known.</p>} />
      <Nodes />
      <Sandbox />
      <Providers />
      <Backups />
      <Health />
    </div>
  );
}

function Nodes(): ReactNode {
  const server = useLive((state) => state.server);
  const queue = useLive((state) => state.queue);
  const now = useNow(30_000);
  const standing = useStanding();
  if (!server) return null;
  const nodes = queue?.nodes ?? [];
  return (
    <section className="card" aria-label="Nodes">
      <h2>Nodes</h2>
      <p className="soft">
        {countsOf(queue).running} running; each node runs up to {server.capacity} at the same time.
      </p>
      <ul className="list">
        {nodes.map(({ id, address, startedAt }) => (
          <li key={id} className="item check">
            <div className="grow">
              <p className="title code">{id}</p>
              <p className="step whole">
                {address ?? 'at no address of its own'} · up since {ago(startedAt, now)}
              </p>
              <Standing of={standing?.find((each) => each.id === id)} />
            </div>
            {id === server.node && <span className="badge live">This one</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}

type NodeView = QueueView['nodes'][number];

/** As the nodes are while one looks; what was kept for reading offline says nothing of it. */
function useStanding(): readonly NodeView[] | undefined {
  const live = useLive((state) => state.connection.kind === 'live');
  const [nodes, setNodes] = useState<readonly NodeView[]>();
  const look = useCallback((): void => {
    void get<QueueView>('/queue').then((answer) => answer.ok && setNodes(answer.value.nodes));
  }, []);
  useEffect(() => {
    if (live) look();
    else setNodes(undefined);
  }, [live, look]);
  useRepeat(true, 15_000, look);
  return nodes;
}

/** Each node says it with its heartbeat, this one too. */
function Standing({ of: node }: { readonly of: NodeView | undefined }): ReactNode {
  if (!node?.machine) return <div className="resources" />;
  const unanswered = node.breakers.map(({ id }) => id).join(', ');
  return (
    <>
      <Resources machine={node.machine} />
      {unanswered !== '' && <p className="step whole">Gets no answer from {unanswered}</p>}
    </>
  );
}

function Resources({ machine }: { readonly machine: NonNullable<NodeView['machine']> }): ReactNode {
  const { serverMemoryBytes, memoryBytes, memoryFreeBytes, cpus, load, diskBytes, diskFreeBytes } = machine;
  const figures = [
    [
      'Memory',
      `${bytes(memoryFreeBytes)} free of ${bytes(memoryBytes)}`,
      1 - memoryFreeBytes / memoryBytes,
      `${bytes(serverMemoryBytes)} for the server`,
    ],
    ['CPU', `a load of ${load.toFixed(1)} for ${cpus}`, load / cpus, 'over the last minute'],
    ['Disk', `${bytes(diskFreeBytes)} free of ${bytes(diskBytes)}`, 1 - diskFreeBytes / diskBytes, 'of its home'],
  ] as const;
  return (
    <dl className="resources">
      {figures.map(([name, said, share, more]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <Bar share={share} tone={share > 0.9 ? 'bad' : share > 0.8 ? 'warn' : ''} />
            <p>{said}</p>
            <p className="soft">{more}</p>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Sandbox(): ReactNode {
  const sandbox = useLive((state) => state.server?.sandbox);
  if (!sandbox) return null;
  return (
    <section className="card" aria-label="Sandbox">
      <header className="row">
        <h2 className="grow">Sandbox</h2>
        <span className={`badge ${sandbox.active ? 'good' : 'bad'}`}>{sandbox.active ? 'Holds' : 'Not there'}</span>
      </header>
      <p>{sandbox.summary}</p>
      {sandbox.remedy !== null && <p className="soft">{sandbox.remedy}</p>}
    </section>
  );
}

const verdicts = { ok: ['In order', 'good'], warning: ['Worth a look', 'warn'], failure: ['Fails', 'bad'] } as const;
const urgency = ['failure', 'warning', 'ok'] as const;

function Health(): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  const may = useMay('operator');
  const now = useNow(30_000);
  const [last, setLast] = useState<ExaminationView | null>();
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (live) void get<{ last: ExaminationView | null }>('/health').then((answer) => answer.ok && setLast(answer.value.last));
  }, [live]);
  const examine = async (): Promise<void> => {
    setBusy(true);
    const answer = await call<ExaminationView>('POST', '/health');
    setBusy(false);
    if (answer.ok) setLast(answer.value);
    else toast('bad', answer.refusal.message);
  };
  const checks = [...(last?.checks ?? [])].sort((a, b) => urgency.indexOf(a.verdict) - urgency.indexOf(b.verdict));
  return (
    <section className="card" aria-label="Health">
      <header className="row">
        <h2 className="grow">Health</h2>
        {may && (
          <Act className="small" disabled={busy} onClick={examine}>
            {busy ? 'Looking…' : 'Examine now'}
          </Act>
        )}
      </header>
      {last === undefined ? (
        <p className="soft" role="status">
          {live ? 'Loading…' : 'This is not kept for reading offline.'}
        </p>
      ) : last === null ? (
        <p className="soft">It has not been examined yet. The server does so by itself, at its start and again and again.</p>
      ) : (
        <>
          <p className="soft">
            Examined {ago(last.at, now)}: {last.healthy ? 'all that must work does.' : 'something does not work.'}
          </p>
          <ul className="list">
            {checks.map(({ check, verdict, found, remedy }) => (
              <li key={`${check} ${found}`} className="item check">
                <div className="grow">
                  <p className="title whole">{check}</p>
                  <div className="step whole">
                    <p>{found}</p>
                    {remedy !== undefined && <Prose text={remedy} />}
                  </div>
                </div>
                <span className={`badge ${verdicts[verdict][1]}`}>{verdicts[verdict][0]}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

const shownBackups = 5;

function Backups(): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  const may = useMay('owner');
  const now = useNow(60_000);
  const [backups, setBackups] = useState<BackupsView>();
  const [busy, setBusy] = useState(false);
  const take = useCallback((answer: Answer<BackupsView>): void => {
    if (answer.ok) setBackups(answer.value);
  }, []);
  useEffect(() => {
    if (live) void get<BackupsView>('/backups').then(take);
  }, [live, take]);
  const make = async (): Promise<void> => {
    setBusy(true);
    const answer = await call<unknown>('POST', '/backups');
    setBusy(false);
    toast(answer.ok ? 'good' : 'bad', answer.ok ? 'The backup is on the disk' : answer.refusal.message);
    take(await get<BackupsView>('/backups'));
  };
  return (
    <section className="card awaited" aria-label="Backups">
      <header className="row">
        <h2 className="grow">Backups</h2>
        {may && (
          <Act className="small" disabled={busy} onClick={make}>
            {busy ? 'Making it…' : 'Back up now'}
          </Act>
        )}
      </header>
      {backups?.failure && (
        <p className="banner warn">
          <Icon name="hand" /> {backups.failure}
        </p>
      )}
      {backups !== undefined && backups.items.length === 0 && <p className="soft">There is none yet on the disk of this node.</p>}
      {backups !== undefined && backups.items.length > 0 && (
        <ul className="list">
          {backups.items.slice(0, shownBackups).map(({ file, bytes: size, madeAt }) => (
            <li key={file} className="item">
              <div className="grow">
                <p className="title code">{file.slice(file.lastIndexOf('/') + 1)}</p>
                <p className="step whole">
                  {bytes(size)} · made {ago(madeAt, now)}
                </p>
              </div>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
