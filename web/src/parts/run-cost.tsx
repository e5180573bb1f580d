import { type ReactNode, useEffect, useMemo, useState } from 'react';
import { get } from '../data/api.ts';
import { useLive } from '../data/use.ts';
import type { RunSpendingView, RunView } from '../data/views.ts';
import { money, moneyInFull } from '../text/amount.ts';
import { addedUp } from '../text/chart.ts';
import { clockTime } from '../text/time.ts';
import { Chart } from './chart.tsx';
import { Empty } from './text.tsx';

/** What a run has cost so far, call by call. */
export function RunCost({ run }: { readonly run: RunView }): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  const [spending, setSpending] = useState<RunSpendingView>();
  const [refused, setRefused] = useState<string>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: a run that costs more has another answer
  useEffect(() => {
    if (!live) return;
    let wanted = true;
    void get<RunSpendingView>(`/runs/${run.id}/spending`).then((answer) => {
      if (!wanted) return;
      if (answer.ok) setSpending(answer.value);
      setRefused(answer.ok ? undefined : answer.refusal.message);
    });
    return () => {
      wanted = false;
    };
  }, [run.id, live, run.costUsd, run.tokens.outputTokens]);

  const shown = useMemo(() => {
    const items = spending?.items ?? [];
    return {
      times: items.map(({ at }) => Date.parse(at)),
      labels: items.map(({ at }) => clockTime(at)),
      series: [{ name: 'Cost so far', tone: 'line-1', values: addedUp(items.map(({ costUsd }) => costUsd)) }] as const,
    };
  }, [spending]);

  const most = shown.series[0].values.at(-1) ?? 0;

  if (spending === undefined) {
    return (
      <p className="soft pad" role="status">
        {refused ?? (live ? 'Loading…' : 'This is not kept for reading offline.')}
      </p>
    );
  }
  if (spending.items.length === 0) {
    return run.tokens.outputTokens > 0 ? (
      <Empty title="It cost nothing">
        <p>The ledger has what providers charge for. The model of this run asked none: it follows a script.</p>
      </Empty>
    ) : (
      <Empty title="No model was asked">
        <p>Each call of a model is in the ledger as soon as it is over, and is shown here with what it cost.</p>
      </Empty>
    );
  }
  return (
    <Chart
      title="Cost over time"
      about="What the calls of this run have come to, from the first to the last."
      kind="steps"
      along="Time"
      format={most < 1 ? moneyInFull : money}
      least={0.01}
      {...shown}
    />
  );
}
