import { type ReactNode, useEffect, useState } from 'react';
import { call, get } from '../data/api.ts';
import { useListing } from '../data/listing.ts';
import { useLive, useMay, useNow, useRepeat } from '../data/use.ts';
import type { DeliveryView, MessageView, WholeDeliveryView } from '../data/views.ts';
import { Act } from '../parts/act.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Entry } from '../parts/entry.tsx';
import { Icon } from '../parts/icons.tsx';
import { ListingView } from '../parts/listing.tsx';
import { Part } from '../parts/scrolling.tsx';
import { Segments } from '../parts/segments.tsx';
import { CommandLine, Empty } from '../parts/text.tsx';
import { toast } from '../parts/toast.tsx';
import type { Route } from '../route.ts';
import { Link, useAddressed } from '../router.tsx';
import { count } from '../text/amount.ts';
import { ago, fullTime } from '../text/time.ts';

type SourcesView = (Route & { page: 'sources' })['view'];

const views: readonly (readonly [SourcesView, to: string, name: string])[] = [
  ['inbox', '/sources', 'Inbox'],
  ['outbox', '/sources/outbox', 'Outbox'],
  ['channels', '/sources/channels', 'Channels'],
];

const about: Readonly<Record<SourcesView, string>> = {
  inbox: 'What arrived, as it arrived, and what became of it.',
  outbox: 'What is to be said elsewhere: answers where the work came from, and alerts.',
  channels: 'Where alerts go.',
};

/** Where work comes from and where answers go. */
export function Sources({ view }: { readonly view: SourcesView }): ReactNode {
  return (
    <div className="page">
      <header className="page-head">
        <div>
          <h1>Sources</h1>
          <p className="soft">{about[view]}</p>
        </div>
      </header>
      <nav className="tabs" aria-label="Parts of this page">
        {views.map(([each, to, name]) => (
          <Link key={each} to={to} aria-current={view === each ? 'page' : undefined}>
            {name}
          </Link>
        ))}
      </nav>
      {view === 'inbox' && <Inbox />}
      {view === 'outbox' && <Outbox />}
      {view === 'channels' && <Channels />}
    </div>
  );
}

type Looks<S extends string> = Readonly<Record<S, readonly [word: string, tone: string]>>;

const deliveryLooks: Looks<DeliveryView['state']> = {
  failed: ['Not understood', 'bad'],
  received: ['Being read', 'live'],
  done: ['Read', 'good'],
  ignored: ['Ignored', 'calm'],
};

const messageLooks: Looks<MessageView['state']> = {
  dead: ['Dead letter', 'bad'],
  waiting: ['Waiting', 'live'],
  sent: ['Sent', 'good'],
  discarded: ['Discarded', 'calm'],
};

/** Something a person does to what is listed; the list is looked at again, also when it was refused. */
async function perform(path: string, done: string, again: () => Promise<void>): Promise<void> {
  const answer = await call<unknown>('POST', path);
  toast(answer.ok ? 'good' : 'bad', answer.ok ? done : answer.refusal.message);
  await again();
}

interface MailProps<T extends { readonly state: string }> {
  readonly name: string;
  readonly path: string;
  readonly looks: Looks<T['state']>;
  /** What is in this state does not stay there for long. */
  readonly moving: T['state'];
  /** The last event that told of it. */
  readonly heard: string | undefined;
  readonly empty: (state: T['state'] | '') => ReactNode;
  readonly children: (item: T, again: () => Promise<void>) => ReactNode;
}

const movingMs = 2_000;

/** What arrived, or what is to be sent: all of it, or what is in one state. */
function Mail<T extends { readonly state: string }>({ name, path, looks, moving, heard, empty, children }: MailProps<T>): ReactNode {
  const states = Object.keys(looks) as T['state'][];
  const [state, choose] = useAddressed<T['state'] | ''>('state', ['', ...states]);
  const listing = useListing<T>(path, state === '' ? {} : { state }, heard);
  useRepeat(listing.items?.some((each) => each.state === moving) ?? false, movingMs, listing.again);
  const choices = [['', 'All'] as const, ...states.map((each) => [each, looks[each][0]] as const)];
  return (
    <section className="section" aria-label={name}>
      <div className="filters">
        <Segments label="State" choices={choices} chosen={state} choose={choose} />
        <Act className="quiet small" onClick={listing.again}>
          Look again
        </Act>
      </div>
      <ListingView listing={listing} empty={empty(state)}>
        {(item) => children(item, listing.again)}
      </ListingView>
    </section>
  );
}

const Inbox = (): ReactNode => (
  <Mail<DeliveryView>
    name="Inbox"
    path="/inbox"
    looks={deliveryLooks}
    moving="received"
    heard={useLive(({ heard }) => heard.inbox)}
    empty={(state) => (state === '' ? <NothingArrived /> : <Empty title="Nothing that arrived is in this state" />)}
  >
    {(delivery, again) => (
      <DeliveryRow
        key={delivery.id}
        delivery={delivery}
        replay={() => perform(`/inbox/${delivery.id}/replay`, 'It is read again', again)}
      />
    )}
  </Mail>
);

const NothingArrived = (): ReactNode => (
  <Empty title="Nothing has arrived yet">
    <p>
      Work can come by itself: from GitHub, from TODO files, from a Memory-MCP server, from any service that can sign a web hook. What
      arrives is stored before it is acknowledged, becomes tasks exactly once, and is listed here with what became of it.
    </p>
    <p>With a TODO file, for instance, every open box is a task, and is ticked when that is done:</p>
    <CommandLine command="TODO_FILES=/srv/app/TODO.md npm start" />
  </Empty>
);

function DeliveryRow({ delivery, replay }: { readonly delivery: DeliveryView; readonly replay: () => Promise<void> }): ReactNode {
  const now = useNow(15_000);
  const may = useMay('operator');
  const [busy, setBusy] = useState(false);
  const { source, kind, key, state, reason, attempts, taskIds, receivedAt } = delivery;
  const [word, tone] = deliveryLooks[state];
  const title = `${kind} from ${source}`;
  return (
    <Entry
      title={title}
      about={
        <>
          <time dateTime={receivedAt} title={fullTime(receivedAt)}>
            {ago(receivedAt, now)}
          </time>
          {attempts > 1 && ` · tried ${attempts} times`}
          {reason && ` · ${reason.message}`}
          {taskIds.map((id) => (
            <TaskLink key={id} id={id} />
          ))}
        </>
      }
      badges={<span className={`badge ${tone}`}>{word}</span>}
      actions={
        may &&
        (state === 'failed' || state === 'ignored') && (
          <Act
            className="small"
            disabled={busy}
            aria-label={`Replay ${title} (${key})`}
            onClick={async () => {
              setBusy(true);
              await replay();
              setBusy(false);
            }}
          >
            <Icon name="retry" size={16} /> Replay
          </Act>
        )
      }
    >
      {() => <DeliveryBody delivery={delivery} />}
    </Entry>
  );
}

function TaskLink({ id }: { readonly id: string }): ReactNode {
  const title = useLive((state) => state.tasks.get(id)?.title);
  return (
    <>
      {' · '}
      <Link to={`/tasks/${id}`}>{title ?? id}</Link>
    </>
  );
}

function DeliveryBody({ delivery: { id, key, bodySize } }: { readonly delivery: DeliveryView }): ReactNode {
  const [whole, setWhole] = useState<WholeDeliveryView>();
  const [refused, setRefused] = useState<string>();
  useEffect(() => {
    void get<WholeDeliveryView>(`/inbox/${id}`).then((answer) => {
      if (answer.ok) setWhole(answer.value);
      else setRefused(answer.refusal.message);
    });
  }, [id]);
  return (
    <>
      <p className="soft">
        <span className="code">{id}</span>, for its sender <span className="code">{key}</span>, {count(bodySize)} bytes
      </p>
      {whole === undefined ? (
        <p className="soft" role="status">
          {refused ?? 'Loading…'}
        </p>
      ) : whole.body === null ? (
        <p className="soft">What it carried has had its time (keepMailDays).</p>
      ) : (
        <Part name="What it carried" text={legible(whole.body)} />
      )}
    </>
  );
}

/** JSON in lines, anything else as it is. */
function legible(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

const Outbox = (): ReactNode => (
  <Mail<MessageView>
    name="Outbox"
    path="/outbox"
    looks={messageLooks}
    moving="waiting"
    heard={useLive(({ heard }) => heard.outbox)}
    empty={(state) => <NothingSent state={state} />}
  >
    {(message, again) => <MessageRow key={message.id} message={message} again={again} />}
  </Mail>
);

function NothingSent({ state }: { readonly state: MessageView['state'] | '' }): ReactNode {
  if (state === 'dead') {
    return (
      <Empty title="No dead letters">
        <p>What could not be delivered for about a day, or was refused for good, waits here for a person.</p>
      </Empty>
    );
  }
  if (state !== '') return <Empty title="No message is in this state" />;
  return (
    <Empty title="Nothing has been sent yet">
      <p>
        Whoever asked for work is answered where they asked, and alerts go out through your channels. Each message is on disk before it is
        sent, and is tried again until it has arrived.
      </p>
    </Empty>
  );
}

function MessageRow({ message, again }: { readonly message: MessageView; readonly again: () => Promise<void> }): ReactNode {
  const now = useNow(15_000);
  const may = useMay('operator');
  const { id, channel, recipient, kind, state, reason, attempts, createdAt, sentAt, notBefore, taskId, body } = message;
  const [word, tone] = messageLooks[state];
  const title = `${kind} to ${recipient === channel ? channel : `${recipient} (${channel})`}`;
  return (
    <Entry
      title={title}
      about={
        <>
          <time dateTime={sentAt ?? createdAt} title={fullTime(sentAt ?? createdAt)}>
            {sentAt === null ? `made ${ago(createdAt, now)}` : `sent ${ago(sentAt, now)}`}
          </time>
          {attempts > 1 && ` · tried ${attempts} times`}
          {state === 'waiting' && Date.parse(notBefore) > now && ` · next try ${ago(notBefore, now)}`}
          {reason && ` · ${reason.message}`}
          {taskId !== null && <TaskLink id={taskId} />}
        </>
      }
      badges={<span className={`badge ${tone}`}>{word}</span>}
      actions={
        may && (
          <>
            {(state === 'dead' || state === 'discarded') && (
              <Act
                className="small"
                aria-label={`Resend ${title}`}
                onClick={() => perform(`/outbox/${id}/resend`, 'It is in line again', again)}
              >
                <Icon name="retry" size={16} /> Resend
              </Act>
            )}
            {(state === 'dead' || state === 'waiting') && (
              <Confirm
                ask="Discard"
                yes="Discard it"
                of={title}
                perform={() => perform(`/outbox/${id}/discard`, 'It is not sent', again)}
              />
            )}
          </>
        )
      }
    >
      {() => (
        <>
          <p className="soft">
            <span className="code">{id}</span>
          </p>
          {body === null || body === undefined ? (
            <p className="soft">What it said has had its time (keepMailDays).</p>
          ) : (
            <Part name="What it says" text={typeof body === 'string' ? body : JSON.stringify(body, null, 2)} />
          )}
        </>
      )}
    </Entry>
  );
}

interface Channel {
  readonly name: string;
}

function Channels(): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  const [channels, setChannels] = useState<readonly Channel[]>();
  const [refused, setRefused] = useState<string>();
  useEffect(() => {
    if (!live) return;
    void get<{ items: readonly Channel[] }>('/channels').then((answer) => {
      if (answer.ok) setChannels(answer.value.items);
      setRefused(answer.ok ? undefined : answer.refusal.message);
    });
  }, [live]);
  if (channels === undefined) {
    return (
      <p className="soft" role="status">
        {refused ?? (live ? 'Loading…' : 'This list is not kept for reading offline.')}
      </p>
    );
  }
  if (channels.length === 0) {
    return (
      <Empty title="Alerts are told to nobody yet">
        <p>
          What is wrong is always shown under <Link to="/">Now</Link>. To be told elsewhere as well, start the server with one of these, and
          try it from here:
        </p>
        <CommandLine command="SLACK_WEBHOOK_URL=https://hooks.slack.com/services/… npm start" />
        <CommandLine command="ALERT_EMAIL=you@example.com SMTP_URL=smtps://… npm start" />
        <CommandLine command="PAGERDUTY_ROUTING_KEY=… npm start" />
        <CommandLine command="ALERT_WEBHOOK_URL=https://… ALERT_WEBHOOK_SECRET=… npm start" />
      </Empty>
    );
  }
  return (
    <ul className="list" aria-label="Channels">
      {channels.map(({ name }) => (
        <ChannelRow key={name} name={name} />
      ))}
    </ul>
  );
}

function ChannelRow({ name }: Channel): ReactNode {
  const may = useMay('operator');
  const [tested, setTested] = useState<MessageView>();
  const [busy, setBusy] = useState(false);
  const test = async (): Promise<void> => {
    setBusy(true);
    const answer = await call<MessageView>('POST', `/channels/${encodeURIComponent(name)}/test`);
    setBusy(false);
    if (answer.ok) setTested(answer.value);
    else toast('bad', answer.refusal.message);
  };
  return (
    <li className="card item">
      <div className="grow">
        <p className="title">{name}</p>
        <p className="step whole" role="status">
          {busy ? 'Sending…' : tested === undefined ? 'A test says whether it arrives.' : outcomeOf(tested)}
        </p>
      </div>
      {tested && !busy && <span className={`badge ${messageLooks[tested.state][1]}`}>{messageLooks[tested.state][0]}</span>}
      {may && (
        <div className="row">
          <Act className="small" disabled={busy} onClick={test} aria-label={`Test ${name}`}>
            Test
          </Act>
        </div>
      )}
    </li>
  );
}

function outcomeOf({ state, reason }: MessageView): string {
  if (state === 'sent') return 'The other side has taken it. Look whether it is there.';
  return reason?.message ?? 'It has not been sent yet; the outbox says what becomes of it.';
}
