import { type FormEvent, type ReactNode, useEffect, useId, useState } from 'react';
import { get } from '../data/api.ts';
import { setBudget } from '../data/live.ts';
import { useLive, useMay, useNow } from '../data/use.ts';
import type { BudgetView, UsageView } from '../data/views.ts';
import { Act } from '../parts/act.tsx';
import { Bar } from '../parts/bar.tsx';
import { useFocusHandedOn } from '../parts/focus.ts';
import { Segments } from '../parts/segments.tsx';
import { Empty } from '../parts/text.tsx';
import { toast } from '../parts/toast.tsx';
import { Link } from '../router.tsx';
import { count, money } from '../text/amount.ts';
import { ago } from '../text/time.ts';

/** What the models came to, and what they may. */
export function Usage(): ReactNode {
  const budgets = useLive((state) => state.budgets);
  return (
    <div className="page">
      <header className="page-head">
        <h1>Usage</h1>
      </header>
      <section className="section" aria-label="Budgets">
        <header>
          <h2>Budgets</h2>
        </header>
        <p className="soft">
          They are held before a model is called, so no two calls together get past one. A change holds from the next call on.
        </p>
        <ul className="list tight">
          {budgets?.map((budget) => (
            <Budget key={budget.scope} budget={budget} />
          ))}
        </ul>
      </section>
      <Spent />
    </div>
  );
}

const names: Readonly<Record<BudgetView['scope'], string>> = {
  day: 'A day',
  ceiling: 'A day, at the very most',
  proactive: 'Proactive work in a day',
  run: 'One run',
  conversation: 'One conversation',
};

const amount = ({ unit }: Pick<BudgetView, 'unit'>, value: number): string => (unit === 'usd' ? money(value) : `${count(value)} tokens`);

function Budget({ budget }: { readonly budget: BudgetView }): ReactNode {
  const [editing, setEditing] = useState(false);
  const shown = useFocusHandedOn(editing);
  const may = useMay('owner');
  const now = useNow(60_000);
  const { scope, limit, spent, reserved, resetsAt, about } = budget;
  return (
    <li className="budget">
      <div className="grow">
        <p className="title">{names[scope]}</p>
        <p className="soft about">
          {about}
          {spent !== null && `. ${amount(budget, spent)} spent`}
          {reserved !== null && reserved > 0 && `, ${amount(budget, reserved)} held`}
          {resetsAt !== null && spent !== null && `; anew ${ago(resetsAt, now)}`}
        </p>
        {spent !== null && limit !== null && limit > 0 && <Bar share={spent / limit} />}
      </div>
      {editing ? (
        <LimitForm budget={budget} field={shown} close={() => setEditing(false)} />
      ) : (
        <div className="row">
          <span className="tabular">{limit === null ? 'no limit' : amount(budget, limit)}</span>
          {may && (
            <Act ref={shown} className="small" onClick={() => setEditing(true)} aria-label={`Change: ${names[scope]}`}>
              Change
            </Act>
          )}
        </div>
      )}
    </li>
  );
}

interface LimitProps {
  readonly budget: BudgetView;
  readonly field: (shown: HTMLElement | null) => void;
  readonly close: () => void;
}

function LimitForm({ budget, field, close }: LimitProps): ReactNode {
  const id = useId();
  const [text, setText] = useState(budget.limit === null ? '' : String(budget.limit));
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    const answer = await setBudget(budget.scope, text.trim() === '' ? null : Number(text));
    if (!answer.ok) {
      toast('bad', answer.refusal.message);
      return;
    }
    toast('good', 'It holds from the next call on');
    close();
  };
  return (
    <form className="row" onSubmit={submit}>
      <label htmlFor={id} className="sr">
        {names[budget.scope]}, in {budget.unit === 'usd' ? 'dollars' : 'tokens'}; empty is no limit
      </label>
      <input
        id={id}
        ref={field}
        className="amount"
        type="number"
        min="0"
        step={budget.unit === 'usd' ? 'any' : '1'}
        placeholder="no limit"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <Act type="submit" className="primary small">
        Save
      </Act>
      <button type="button" className="quiet small" onClick={close}>
        Cancel
      </button>
    </form>
  );
}

const dimensions = [
  ['day', 'By day'],
  ['model', 'By model'],
  ['task', 'By task'],
] as const;

const dayMs = 86_400_000;

function Spent(): ReactNode {
  const [by, setBy] = useState<'day' | 'model' | 'task'>('day');
  const [days, setDays] = useState(7);
  const [usage, setUsage] = useState<UsageView>();
  const [refused, setRefused] = useState<string>();
  const live = useLive((state) => state.connection.kind === 'live');
  /** What was spent today changes what is shown here. */
  const today = useLive((state) => state.budgets?.find(({ scope }) => scope === 'day')?.spent);

  // biome-ignore lint/correctness/useExhaustiveDependencies: with more spent, it is another answer
  useEffect(() => {
    if (!live) return;
    let wanted = true;
    const from = new Date(Date.now() - (days - 1) * dayMs).toISOString().slice(0, 10);
    void get<UsageView>(`/usage?by=${by}&from=${from}`).then((answer) => {
      if (!wanted) return;
      if (answer.ok) setUsage(answer.value);
      setRefused(answer.ok ? undefined : answer.refusal.message);
    });
    return () => {
      wanted = false;
    };
  }, [by, days, live, today]);

  return (
    <section className="section" aria-label="Spent">
      <header>
        <h2>Spent {usage && <span className="soft">{money(usage.total.costUsd)}</span>}</h2>
      </header>
      <div className="filters">
        <Segments label="Sorted by" choices={dimensions} chosen={by} choose={setBy} />
        <label>
          <span className="sr">How far back</span>
          <select value={days} onChange={(event) => setDays(Number(event.target.value))}>
            {[7, 30, 90].map((each) => (
              <option key={each} value={each}>
                {each} days
              </option>
            ))}
          </select>
        </label>
      </div>
      {usage === undefined ? (
        <p className="soft" role="status">
          {refused ?? (live ? 'Loading…' : 'This is not kept for reading offline.')}
        </p>
      ) : usage.items.length === 0 ? (
        <Empty title="No model was asked">
          <p>Every call of a model is in the ledger from its beginning, also when it failed or was cut off.</p>
        </Empty>
      ) : (
        <Bars usage={usage} />
      )}
    </section>
  );
}

function Bars({ usage }: { readonly usage: UsageView }): ReactNode {
  const dearest = Math.max(...usage.items.map(({ costUsd }) => costUsd), 0.000_001);
  return (
    <table className="bars">
      <thead>
        <tr>
          <th scope="col">{usage.by}</th>
          <th scope="col">Cost</th>
          <th scope="col">Calls</th>
          <th scope="col">Tokens read</th>
          <th scope="col">Tokens written</th>
        </tr>
      </thead>
      <tbody>
        {usage.items.map((item) => (
          <tr key={item.key}>
            <th scope="row">
              <Key by={usage.by} name={item.key} />
              <Bar share={item.costUsd / dearest} />
            </th>
            <td>{money(item.costUsd)}</td>
            <td>
              {count(item.calls)}
              {item.failedCalls > 0 && <span className="soft"> ({count(item.failedCalls)} failed)</span>}
            </td>
            <td>{count(item.inputTokens + item.cacheReadTokens + item.cacheWriteTokens)}</td>
            <td>{count(item.outputTokens)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Key({ by, name }: { readonly by: UsageView['by']; readonly name: string }): ReactNode {
  const title = useLive((state) => (by === 'task' ? state.tasks.get(name)?.title : undefined));
  if (name === '') return <span className="soft">none</span>;
  return by === 'task' ? (
    <Link to={`/tasks/${name}`} className="truncate">
      {title ?? name}
    </Link>
  ) : (
    <span className="truncate">{name}</span>
  );
}
