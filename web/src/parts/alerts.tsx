import { type ReactNode, useState } from 'react';
import { fetchAlerts, silenceAlert } from '../data/live.ts';
import { useLive, useMay, useNow, useRepeat } from '../data/use.ts';
import type { AlertView } from '../data/views.ts';
import { Link } from '../router.tsx';
import { ago, clockTime } from '../text/time.ts';
import { Act } from './act.tsx';
import { Icon } from './icons.tsx';
import { Prose } from './text.tsx';
import { toast } from './toast.tsx';

/** Where one sees more of it, and can do something about it. */
const places: Readonly<Record<string, string>> = {
  'dead-letters': '/sources/outbox?state=dead',
  'outbox-stuck': '/sources/outbox?state=waiting',
  'inbox-failed': '/sources?state=failed',
  'inbox-stuck': '/sources?state=received',
  'failure-rate': '/tasks?show=failed',
  'queue-backlog': '/tasks?show=waiting',
  'no-progress': '/tasks?show=waiting',
  'long-run': '/tasks?show=running',
  'breaker-open': '/safety',
  'model-calls-failing': '/safety',
  budget: '/usage',
  ceiling: '/usage',
};

const refreshMs = 30_000;
const refresh = (): void => void fetchAlerts();

/**
 * What is wrong now. What is not known to stay is not shown yet, as nobody is told of it either; and that a task waits for a
 * person is nothing wrong, and is shown with the task.
 */
export function Alerts({ otherwise = null }: { readonly otherwise?: ReactNode }): ReactNode {
  const alerts = useLive((state) => state.alerts);
  const now = useNow(refreshMs);
  // The end of a silence, and of what was silenced, is nobody's event.
  useRepeat(true, refreshMs, refresh);
  const isSilent = ({ silencedUntil }: AlertView): boolean => silencedUntil !== null && Date.parse(silencedUntil) > now;
  const known = alerts?.filter((alert) => alert.severity !== 'info' && (alert.raisedAt !== null || isSilent(alert))) ?? [];
  if (known.length === 0) return otherwise;
  return (
    <section className="section" aria-label="What is wrong">
      <header>
        <h2>
          What is wrong <span className="soft">{known.length}</span>
        </h2>
      </header>
      <ul className="list tight">
        {known.map((alert) => (
          <AlertRow key={`${alert.name} ${alert.node}`} alert={alert} silent={isSilent(alert)} now={now} />
        ))}
      </ul>
    </section>
  );
}

interface RowProps {
  readonly alert: AlertView;
  readonly silent: boolean;
  readonly now: number;
}

const silenceMinutes = 8 * 60;

function AlertRow({ alert, silent, now }: RowProps): ReactNode {
  const may = useMay('operator');
  const [busy, setBusy] = useState(false);
  const { name, severity, title, text, since, node, silencedUntil } = alert;
  const place = places[name];
  const change = async (): Promise<void> => {
    setBusy(true);
    const answer = await silenceAlert(name, silent ? 0 : silenceMinutes);
    setBusy(false);
    if (!answer.ok) toast('bad', answer.refusal.message);
    else toast('good', silent ? 'It is told again' : 'Nobody is told of it for eight hours');
  };
  return (
    <li className="item">
      <span
        className={`mark ${silent ? 'calm' : severity === 'critical' ? 'bad' : 'warn'}`}
        role="img"
        aria-label={silent ? 'Silenced' : severity}
      >
        <Icon name={silent ? 'pause' : 'hand'} size={14} />
      </span>
      <div className="grow">
        {place === undefined ? (
          <p className="title whole">{title}</p>
        ) : (
          <Link to={place} className="title whole">
            {title}
          </Link>
        )}
        <div className="step whole">
          <Prose text={text} />
          {node !== null && <p>On {node}.</p>}
          {silent && silencedUntil !== null && <p>Silenced until {clockTime(silencedUntil)}.</p>}
        </div>
      </div>
      <time className="soft tabular" dateTime={since}>
        {ago(since, now)}
      </time>
      {may && (
        <div className="row">
          <Act className="quiet small" disabled={busy} onClick={change} aria-label={`${silent ? 'Tell me again' : 'Silence 8 h'}: ${name}`}>
            {silent ? 'Tell me again' : 'Silence 8 h'}
          </Act>
        </div>
      )}
    </li>
  );
}
