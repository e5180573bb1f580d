import { inUsd, type Limits, utcDay } from '../../domain/budget.ts';
import { type CallEnd, isProvidersFailure, type LedgerEntry } from '../../domain/spending.ts';
import { findCounters, limitsIn, noCounter } from '../../store/budgets.ts';
import type { Store } from '../../store/store.ts';
import type { ProvidersState } from '../providers-state.ts';
import { boundedLabel, type Instruments } from './family.ts';

export interface CallMetricsParts {
  readonly store: Store;
  readonly limits: Limits;
  readonly now: () => number;
  /** Calls of this node that are paid for and not settled yet. */
  readonly pending: () => number;
  readonly providers: () => ProvidersState;
}

const breakerStates = { closed: 0, 'half-open': 1, open: 2 } as const;

/** `failed` is what a provider did to a call, which is what alerts are about. */
function statusOf(end: CallEnd): string {
  if (end === 'complete') return 'success';
  return isProvidersFailure(end) ? 'failed' : end;
}

/** Counts what this node's model calls come to, as they enter the ledger. */
export function countCalls({ counter, gauge, histogram }: Instruments, parts: CallMetricsParts): (entry: LedgerEntry) => void {
  const { store, limits, now, pending } = parts;
  const requests = counter({
    name: 'agent_llm_requests_total',
    help: 'Model calls',
    labelNames: ['provider', 'model', 'status'],
  });
  const tokens = counter({
    name: 'agent_llm_tokens_total',
    help: 'Tokens of model calls',
    labelNames: ['provider', 'model', 'type'],
  });
  const calls = counter({ name: 'llm_calls_total', help: 'Total number of LLM calls made' });
  // Only grows, but a counter's name would have to end with _total.
  const cost = gauge({ name: 'cost_total_per_model_usd', help: 'What model calls cost since the start', labelNames: ['model'] });
  const buckets = [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
  const firstByte = histogram({
    name: 'agent_llm_first_byte_seconds',
    help: 'From the request of an agent to the first byte of its answer',
    labelNames: ['provider'],
    buckets,
  });
  const duration = histogram({
    name: 'agent_llm_duration_seconds',
    help: 'From the request of an agent to the end of its answer',
    labelNames: ['provider'],
    buckets,
  });
  gauge({
    name: 'agent_budget_reservations',
    help: 'Model calls of this node that are paid for and under way',
    collect() {
      this.set(pending());
    },
  });
  gauge({
    name: 'agent_llm_breaker_state',
    help: 'Breakers of this node: 0 closed, 1 half open, 2 open',
    labelNames: ['provider', 'model'],
    collect() {
      this.reset();
      for (const { provider, model, state } of parts.providers().breakers) this.set({ provider, model }, breakerStates[state]);
    },
  });
  gauge({
    name: 'agent_llm_calls_waiting',
    help: 'Model calls of this node that wait for a provider',
    collect() {
      this.set(parts.providers().waiting.reduce((sum, { calls: many }) => sum + many, 0));
    },
  });
  gauge({
    name: 'daily_cost_remaining_usd',
    help: "What is left of the day's budget; absent without one",
    async collect() {
      const day = `day:${utcDay(now())}`;
      const limit = (await limitsIn(store.read, limits)).day;
      const { spent, reserved } = (await findCounters(store.read, [day])).get(day) ?? noCounter;
      if (limit === null) this.reset();
      else this.set(inUsd(Math.max(0, limit - spent - reserved)));
    },
  });

  const labelOf = boundedLabel();

  return (entry) => {
    const provider = entry.provider ?? 'none';
    const model = labelOf(entry.model);
    requests.inc({ provider, model, status: statusOf(entry.end) });
    if (entry.end !== 'over-budget') calls.inc();
    const used = {
      input: entry.inputTokens,
      output: entry.outputTokens,
      cache_read: entry.cacheReadTokens,
      cache_write: entry.cacheWriteTokens,
    };
    for (const [type, count] of Object.entries(used)) if (count > 0) tokens.inc({ provider, model, type }, count);
    if (entry.costMicroUsd > 0) cost.inc({ model }, inUsd(entry.costMicroUsd));
    if (entry.firstByteMs !== null) firstByte.observe({ provider }, entry.firstByteMs / 1_000);
    if (entry.latencyMs !== null && entry.end !== 'over-budget') duration.observe({ provider }, entry.latencyMs / 1_000);
  };
}
