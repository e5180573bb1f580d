import type { TokenUsage } from './usage.ts';

/** What the server itself asks a model; everything else is an agent's call. */
const questionKinds = ['review', 'summary'] as const;
export type QuestionKind = (typeof questionKinds)[number];

/** What a model call is for. Reactive talk is never stopped by the budget of proactive work. */
export type CallKind = 'task' | 'reactive' | 'proactive' | QuestionKind;

export const isQuestion = (kind: CallKind): kind is QuestionKind => questionKinds.some((each) => each === kind);

/**
 * `refused` by status or by an error in the stream; `cut` by the provider; `abandoned` by the agent; `over-budget` never
 * left the house; `lost` with the server that made it; `try` failed, and another one followed it.
 */
export type CallEnd = 'complete' | 'refused' | 'cut' | 'abandoned' | 'over-budget' | 'lost' | 'try';

/** What a provider did to a call; the others are the agent's doing, or ours. */
export const isProvidersFailure = (end: CallEnd): boolean => end !== 'complete' && end !== 'abandoned' && end !== 'over-budget';

/** One line of the ledger: a model call that is over, whatever became of it. */
export interface LedgerEntry extends TokenUsage {
  readonly id: string;
  /** When it began; its day is the day it counts for. */
  readonly at: number;
  readonly nodeId: string;
  readonly runId: string;
  readonly taskId: string | null;
  readonly conversationId: string | null;
  readonly kind: CallKind;
  readonly provider: string | null;
  readonly model: string | null;
  readonly keyId: string | null;
  readonly costMicroUsd: number;
  readonly firstByteMs: number | null;
  readonly latencyMs: number | null;
  readonly status: number | null;
  readonly end: CallEnd;
  /** The provider did not say what it was; this is our own, cautious reckoning. */
  readonly estimated: boolean;
}

export interface Spending extends TokenUsage {
  readonly calls: number;
  readonly failedCalls: number;
  readonly costMicroUsd: number;
}

export const usageDimensions = ['day', 'model', 'task', 'provider', 'kind', 'key'] as const;
export type UsageDimension = (typeof usageDimensions)[number];

/** A day in a few lines of plain text, for whoever is told about it. */
export function summaryOf(
  day: string,
  total: Spending,
  byModel: readonly { readonly key: string; readonly costMicroUsd: number; readonly calls: number }[],
  limitMicroUsd: number | null,
): string {
  if (total.calls === 0) return `${day}: no model calls.`;
  const share =
    limitMicroUsd === null || limitMicroUsd === 0
      ? ''
      : ` (${Math.round((total.costMicroUsd / limitMicroUsd) * 100)} % of the day's budget)`;
  const read = total.inputTokens + total.cacheReadTokens + total.cacheWriteTokens;
  return [
    `${day}: ${dollars(total.costMicroUsd)}${share} for ${total.calls} model call${total.calls === 1 ? '' : 's'}${total.failedCalls > 0 ? `, ${total.failedCalls} of them failed` : ''}.`,
    `${thousands(read)} tokens read (${thousands(total.cacheReadTokens)} from the cache), ${thousands(total.outputTokens)} written.`,
    ...byModel
      .slice(0, 5)
      .map(({ key, costMicroUsd, calls }) => `${key}: ${dollars(costMicroUsd)}, ${calls} call${calls === 1 ? '' : 's'}`),
  ].join('\n');
}

const dollars = (micro: number): string => `$${(micro / 1_000_000).toFixed(2)}`;
const thousands = (count: number): string => String(count).replaceAll(/\B(?=(\d{3})+$)/g, ',');
