import type { CallKind } from './spending.ts';
import type { Priority } from './task.ts';
import type { Tier } from './tier.ts';

/** What is known of a piece of work before it begins. */
export interface TierFacts {
  readonly kind: CallKind;
  readonly title: string;
  readonly body: string | null;
  readonly priority: Priority;
  readonly labels?: readonly string[];
  /** Why earlier attempts failed, by their codes. */
  readonly failures: readonly string[];
  /** Asked for by the task, by its profile, and by the settings for its repository. */
  readonly asked?: Tier | null;
  readonly profile?: Tier | null;
  readonly repository?: Tier | null;
}

export interface TierChoice {
  readonly tier: Tier;
  /** One sentence for the run's events. */
  readonly reason: string;
}

/**
 * What somebody asked for counts first, then a label, then what went wrong before, then the wish itself. Failures that a
 * better model would have had as well do not make a task deep. When in doubt it is standard: too small a model costs more
 * in attempts than it saves.
 */
export function chooseTier(facts: TierFacts): TierChoice {
  const { kind, asked, profile, repository, labels = [] } = facts;
  if (asked) return { tier: asked, reason: 'The task asks for it.' };
  const label = labels.map((text) => ({ text, tier: tierOfLabel(text) })).find(({ tier }) => tier !== undefined);
  if (label?.tier) return { tier: label.tier, reason: `The label "${label.text}" asks for it.` };
  if (profile) return { tier: profile, reason: 'Its profile asks for it.' };
  if (repository) return { tier: repository, reason: 'The settings ask for it in its repository.' };
  if (kind === 'summary') return { tier: 'light', reason: 'Summaries are light work.' };
  const failed = facts.failures.filter((code) => !unrelated.has(code)).length;
  if (failed > 0) return { tier: 'deep', reason: failed === 1 ? 'An attempt has failed.' : `${failed} attempts have failed.` };
  return ofTheWish(facts);
}

/** Failures of the way to a model or of the surroundings: they say nothing about how hard the task is. */
const unrelated: ReadonlySet<string> = new Set([
  'rate-limited',
  'overloaded',
  'model-unreachable',
  'model-auth',
  'model-unknown',
  'no-model',
  'engine-missing',
  'host-unfit',
  'session-busy',
  'session-lost',
  'network',
  'auth-failed',
  'repository-not-found',
  'disk-full',
  'git-missing',
  'non-fast-forward',
]);

const hardLabel = /^(?:deep|refactor(?:ing)?|architecture|debug(?:ging)?|security|performance|flaky|race.?condition|epic)$/i;
const easyLabel = /^(?:light|docs?|documentation|typo|question|chore|status|triage)$/i;

function tierOfLabel(label: string): Tier | undefined {
  const name = label.replace(/^(?:tier|type|kind)[:/ ]+/i, '');
  if (hardLabel.test(name)) return 'deep';
  if (easyLabel.test(name)) return 'light';
  return /^standard$/i.test(name) ? 'standard' : undefined;
}

const hardWords =
  /\b(?:refactor\w*|re-?architect\w*|redesign\w*|rewrit\w+|migrat\w+|debug\w*|root cause|race condition|deadlock\w*|memory leak\w*|flaky|intermittent\w*|concurren\w+|heisenbug)\b/i;
const easyWords =
  /^(?:\W*(?:please|can you|could you)\W+)?(?:read|list|count|summari[sz]e|describe|explain|classify|label|triage|report|check the status|show|which|what|who|when|where|how many|fix (?:a |the )?typo)\b/i;
const changingWords = /\b(?:add|build|change|create|delete|fix|implement|make|port|remove|rename|replace|update|upgrade|write)\b/i;

/** Beyond this a wish is a specification, and holds more at once than the rest. */
const longBody = 6_000;
/** Below this, and asking only to look, it is light. */
const shortBody = 600;

function ofTheWish({ title, body, priority }: TierFacts): TierChoice {
  const text = `${title}\n${body ?? ''}`;
  const [hard] = hardWords.exec(text) ?? [];
  if (hard !== undefined) return { tier: 'deep', reason: `It speaks of "${hard.toLowerCase()}".` };
  const size = body?.length ?? 0;
  if (size > longBody) return { tier: 'deep', reason: `It is described in ${size} characters.` };
  const looks = easyWords.test(title) && !changingWords.test(title.replace(easyWords, '')) && !changingWords.test(body ?? '');
  if (looks && size <= shortBody && priority !== 'high') return { tier: 'light', reason: 'It asks to look, not to change.' };
  return { tier: 'standard', reason: 'Nothing about it is unusual.' };
}
