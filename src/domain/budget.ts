/** Money is counted in whole millionths of a dollar, so that sums are exact: a token at $3 per million costs 3 of them. */
export const microUsd = (usd: number): number => Math.round(usd * 1_000_000);
export const inUsd = (micro: number): number => micro / 1_000_000;

/** Limits that the owner sets for everything; that of a task is part of the task. */
export const budgetScopes = ['day', 'ceiling', 'proactive', 'run', 'conversation'] as const;
export type BudgetScope = (typeof budgetScopes)[number];

export const unitOf = (scope: BudgetScope): 'usd' | 'tokens' => (scope === 'proactive' || scope === 'conversation' ? 'tokens' : 'usd');

/** In millionths of a dollar or in tokens; null is no limit. */
export type Limits = Readonly<Record<BudgetScope, number | null>>;

/** Days are those of UTC, everywhere. */
export const utcDay = (at: number): string => new Date(at).toISOString().slice(0, 10);
export const nextUtcDay = (at: number): number => (Math.floor(at / 86_400_000) + 1) * 86_400_000;

/** What can refuse a call. */
export type CapScope = 'run' | 'task' | 'proactive' | 'day' | 'ceiling';

export interface Cap {
  readonly scope: CapScope;
  readonly limit: number | null;
  readonly spent: number;
  /** By calls that are under way. */
  readonly reserved: number;
}

/** The most that a call can cost, as far as its request tells. */
export interface WorstCase {
  readonly inputTokens: number;
  readonly inputMicroUsd: number;
  /** What may be asked for; an answer can be kept shorter than that. */
  readonly outputTokens: number;
  readonly outputMicroUsdPerToken: number;
  /** Shorter than this, an answer is no use. */
  readonly leastOutputTokens: number;
}

export type Admission =
  | { readonly kind: 'granted'; readonly outputTokens: number; readonly microUsd: number; readonly tokens: number }
  /** There is money, but calls under way hold it. So much it waits for. */
  | { readonly kind: 'wait'; readonly microUsd: number; readonly tokens: number }
  | { readonly kind: 'refused'; readonly scope: CapScope };

/** An answer that may be this long is not worth waiting for more. */
const comfortableTokens = 8_192;

/**
 * Whether a call may be made under all its caps, and how long its answer may be. An answer is kept shorter rather than
 * refused; but before it becomes uncomfortably short for money that is only held by others, it waits for them to end.
 */
export function admit(caps: readonly Cap[], worst: WorstCase): Admission {
  const least = Math.min(worst.outputTokens, worst.leastOutputTokens);
  let now = worst.outputTokens;
  let atBest = worst.outputTokens;
  let tightest: CapScope = 'day';
  for (const { scope, limit, spent, reserved } of caps) {
    if (limit === null) continue;
    now = Math.min(now, outputWithin(scope, limit - spent - reserved, worst));
    const alone = outputWithin(scope, limit - spent, worst);
    if (alone < atBest) [atBest, tightest] = [alone, scope];
  }
  if (atBest < least) return { kind: 'refused', scope: tightest };
  const wanted = Math.min(atBest, comfortableTokens);
  return now < wanted ? { kind: 'wait', ...holding(worst, wanted) } : { kind: 'granted', outputTokens: now, ...holding(worst, now) };
}

/** The longest answer that a rest pays for; below 0, the further the more is missing, when it does not even pay for the request. */
function outputWithin(scope: CapScope, rest: number, worst: WorstCase): number {
  if (scope === 'proactive') return Math.min(worst.outputTokens, rest - worst.inputTokens);
  const left = rest - worst.inputMicroUsd;
  if (left < 0 || worst.outputMicroUsdPerToken === 0) return left < 0 ? left : worst.outputTokens;
  return Math.min(worst.outputTokens, Math.floor(left / worst.outputMicroUsdPerToken));
}

const holding = (
  { inputTokens, inputMicroUsd, outputMicroUsdPerToken }: WorstCase,
  outputTokens: number,
): { readonly microUsd: number; readonly tokens: number } => ({
  microUsd: wholeMicroUsd(inputMicroUsd + outputTokens * outputMicroUsdPerToken),
  tokens: inputTokens + outputTokens,
});

/** Upward, but not for the dust that multiplying fractions leaves. */
export const wholeMicroUsd = (amount: number): number => Math.max(0, Math.ceil(amount - 1e-6));

/** So little is left that the budget counts as used up, rather than one request as too large for it. */
export const isUsedUp = (limit: number, spent: number): boolean => limit - spent < limit / 20 || limit === 0;

const names: Readonly<Record<CapScope, string>> = {
  run: 'The budget of this run',
  task: 'The budget of this task',
  proactive: "The day's tokens for proactive work",
  day: "The day's budget",
  ceiling: "The day's emergency ceiling",
};

const remedies: Readonly<Record<CapScope, string>> = {
  run: 'Retry the task to give it as much again, or give the task a budget of its own.',
  task: 'Raise it (`nightshift budget set TASK USD`) and retry the task; it goes on where it stopped.',
  proactive: 'It begins anew at midnight UTC.',
  day: 'It begins anew at midnight UTC, or raise it (`nightshift budget set day USD`) and retry.',
  ceiling: 'The queue is paused. Look what happened; then raise the ceiling or wait for midnight UTC, and resume the queue.',
};

/** For people and for the agent: what is used up, and what can be done. */
export const overBudgetMessage = (scope: CapScope, limit: number, spent: number): string =>
  `${names[scope]} is used up (${shownAmount(scope, spent)} of ${shownAmount(scope, limit)}), or too small for this call. ${remedies[scope]}`;

const shownAmount = (scope: CapScope, amount: number): string =>
  scope === 'proactive' ? `${amount} tokens` : `$${inUsd(amount).toFixed(amount < 1_000_000 ? 4 : 2)}`;
