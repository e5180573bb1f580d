import { type ReactNode, useCallback, useEffect, useState } from 'react';
import { type Answer, call, get } from '../data/api.ts';
import { useLive, useMay, useNow, useRepeat } from '../data/use.ts';
import type { ProvidersView } from '../data/views.ts';
import { ago } from '../text/time.ts';
import { Act } from './act.tsx';
import { CommandLine } from './text.tsx';
import { toast } from './toast.tsx';

type Breaker = ProvidersView['breakers'][number];

const refreshMs = 10_000;

/** Who answers for the models, and whether they do. */
export function Providers(): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  const now = useNow(refreshMs);
  const [view, setView] = useState<ProvidersView>();
  const [refused, setRefused] = useState<string>();
  const take = useCallback((answer: Answer<ProvidersView>): void => {
    if (answer.ok) setView(answer.value);
    setRefused(answer.ok ? undefined : answer.refusal.message);
  }, []);
  const look = useCallback((): void => void get<ProvidersView>('/providers').then(take), [take]);
  useEffect(() => {
    if (live) look();
  }, [live, look]);
  // Nothing tells of a breaker that opens or closes.
  useRepeat(true, refreshMs, look);

  return (
    <section className="card awaited" aria-label="Model providers">
      <h2>Model providers</h2>
      {view === undefined ? (
        <p className="soft" role="status">
          {refused ?? (live ? 'Loading…' : 'This is not kept for reading offline.')}
        </p>
      ) : view.providers.length === 0 ? (
        <>
          <p className="soft">None is set up, so agents cannot work. Start the server with a key:</p>
          <CommandLine command="LLM_API_KEY=sk-ant-… npm start" />
        </>
      ) : (
        <>
          <dl className="facts">
            {view.providers.map(({ name, keys }) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{keys.map((key) => stateOf(key, now)).join(', ') || 'without a key'}</dd>
              </div>
            ))}
          </dl>
          <Waiting view={view} />
          {view.breakers.length === 0 ? (
            <p className="soft">
              No model has been called yet. A breaker opens when one does not answer, and calls wait until it does again.
            </p>
          ) : (
            <ul className="list">
              {view.breakers.map((breaker) => (
                <BreakerRow key={breaker.id} breaker={breaker} now={now} take={take} />
              ))}
            </ul>
          )}
        </>
      )}
    </section>
  );
}

const states = { ok: 'key in order', limited: 'limit reached', rejected: 'key refused' } as const;

const stateOf = ({ id, state, until }: ProvidersView['providers'][number]['keys'][number], now: number): string =>
  `${states[state]}${until === null || state === 'ok' ? '' : ` (again ${ago(until, now)})`}${id === null ? '' : ` (${id})`}`;

function Waiting({ view: { waiting } }: { readonly view: ProvidersView }): ReactNode {
  if (waiting.length === 0) return null;
  const calls = waiting.reduce((sum, each) => sum + each.calls, 0);
  return (
    <p className="soft">
      {calls === 1 ? 'One call waits' : `${calls} calls wait`} for a model, of {waiting.length === 1 ? 'one run' : `${waiting.length} runs`}
      .
    </p>
  );
}

const looks: Readonly<Record<Breaker['state'], readonly [word: string, tone: string]>> = {
  closed: ['Answers', 'good'],
  open: ['Does not answer', 'bad'],
  'half-open': ['Being tried', 'warn'],
};

interface RowProps {
  readonly breaker: Breaker;
  readonly now: number;
  readonly take: (answer: Answer<ProvidersView>) => void;
}

function BreakerRow({ breaker: { id, provider, model, state, failures, until }, now, take }: RowProps): ReactNode {
  const may = useMay('operator');
  const [busy, setBusy] = useState(false);
  const [word, tone] = looks[state];
  const reset = async (): Promise<void> => {
    setBusy(true);
    const answer = await call<ProvidersView>('POST', `/providers/breakers/${encodeURIComponent(id)}/reset`);
    setBusy(false);
    take(answer);
    toast(answer.ok ? 'good' : 'bad', answer.ok ? 'Whoever waits for it asks again' : answer.refusal.message);
  };
  return (
    <li className="item">
      <div className="grow">
        <p className="title">{model}</p>
        <p className="step whole">
          {provider}
          {failures > 0 && ` · ${failures === 1 ? 'one failure' : `${failures} failures`} in a row`}
          {until !== null && ` · asked again ${ago(until, now)}`}
        </p>
      </div>
      <span className={`badge ${tone}`}>{word}</span>
      {may && state !== 'closed' && (
        <div className="row">
          <Act className="small" disabled={busy} onClick={reset} aria-label={`Reset ${id}`}>
            Reset
          </Act>
        </div>
      )}
    </li>
  );
}
