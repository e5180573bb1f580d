import type { SDKResultMessage } from '@anthropic-ai/claude-agent-sdk';
import { failed, hostUnfit, type Outcome } from '../../../domain/outcome.ts';
import { isShortage } from '../../../platform/subprocess.ts';
import type { Ending } from './process.ts';

/** All that is known when a conversation is over. */
export interface Evidence {
  readonly result: SDKResultMessage | undefined;
  /** What the SDK threw; after an error result it does so as well. */
  readonly thrown: string | undefined;
  readonly ending: Ending | undefined;
  readonly aborted: boolean;
  /** The wait that the last failed model call asked for. */
  readonly lastRetryMs: number | undefined;
  /** Goes over what the agent and its program wrote, before it becomes part of an outcome. */
  conceal(text: string): string;
}

/** How it ended. A `success` of the SDK can carry an error, so the subtype alone decides nothing. */
export function verdict(evidence: Evidence): Outcome {
  const { result, aborted, conceal } = evidence;
  if (aborted) return { kind: 'cancelled' };
  if (!result) return withoutResult(evidence);
  const said = conceal('result' in result ? result.result : result.errors.join('; '));
  if (result.subtype === 'error_max_turns' || result.terminal_reason === 'max_turns') {
    return failed('max-turns', `The agent used up its ${result.num_turns} turns before it was done.`);
  }
  if (result.subtype === 'error_max_budget_usd' || result.terminal_reason === 'budget_exhausted') {
    return { kind: 'over-budget', reason: { code: 'over-budget', message: 'The budget of this run is used up.' } };
  }
  if (result.stop_reason === 'refusal') return failed('refused', `The model declined the task. ${shortened(said)}`.trim());
  if (!result.is_error && result.subtype === 'success') return ended(said);
  return refusalOf(evidence, result, said);
}

const ended = (said: string): Outcome =>
  said.trim() === ''
    ? failed('no-result', 'The agent ended without an answer.', true)
    : { kind: 'succeeded', summary: shortened(said, 2_000) };

/** The last is what comes of a conversation that is as long as before soon after each summary of it. */
const overflows: readonly SDKResultMessage['terminal_reason'][] = ['prompt_too_long', 'blocking_limit', 'rapid_refill_breaker'];

function refusalOf({ lastRetryMs }: Evidence, result: SDKResultMessage, said: string): Outcome {
  const status = ('api_error_status' in result ? result.api_error_status : undefined) ?? statusIn(said);
  if (overflows.includes(result.terminal_reason) || status === 413 || /prompt is too long/i.test(said)) {
    return failed('prompt-too-long', 'The conversation no longer fits into the model. Split the task, or start it over.');
  }
  const detail = shortened(said);
  switch (status) {
    case 401:
    case 403:
      return failed('model-auth', `The model provider refused the credentials (${status}). Check LLM_API_KEY. ${detail}`);
    case 404:
      return failed('model-unknown', `The model provider does not know the model (404). Check LLM_MODEL. ${detail}`);
    case 429:
      return later('rate-limited', `The model provider limits the rate (429). ${detail}`, lastRetryMs);
    case 529:
      return later('overloaded', `The model provider is overloaded (529). ${detail}`, lastRetryMs);
    case undefined:
      break;
    default:
      if (status < 500) return failed('model-refused', `The model provider refused the request (${status}). ${detail}`);
      return failed('model-unreachable', `The model provider failed (${status}). ${detail}`, true);
  }
  if (result.terminal_reason === 'api_error' || /^API Error/i.test(said)) {
    return failed('model-unreachable', `The model could not be reached. ${detail}`, true);
  }
  if (result.subtype !== 'success' && result.startup_failure_reason !== undefined) {
    return failed('engine-refused', `The agent engine refused to start (${result.startup_failure_reason}). ${detail}`);
  }
  return failed('engine-failed', `The agent engine gave up (${result.terminal_reason ?? result.subtype}). ${detail}`, true);
}

const later = (code: string, message: string, afterMs: number | undefined): Outcome => ({
  kind: 'failed',
  reason: { code, message: message.trim() },
  retryable: true,
  ...(afterMs === undefined ? {} : { afterMs }),
});

function withoutResult({ ending, thrown, conceal }: Evidence): Outcome {
  if (!ending) {
    const missing = /not found|cannot find|ENOENT|native binary/i.test(thrown ?? '');
    if (missing) return engineMissing(thrown ?? '');
    return failed('engine-failed', `The agent engine could not be started. ${shortened(thrown ?? '')}`.trim(), true);
  }
  if (isShortage(ending.notStarted)) return hostUnfit(`The agent engine could not be started: ${ending.notStarted?.message}.`);
  if (ending.notStarted) return engineMissing(ending.notStarted.message);
  const last = shortened(ending.stderr.trim() === '' ? '' : `Its last words: ${conceal(ending.stderr).trim()}`);
  if (ending.signal !== null) return failed('engine-killed', `The agent engine was killed by ${ending.signal}. ${last}`.trim(), true);
  if (ending.code !== 0) return failed('engine-failed', `The agent engine exited with ${ending.code}. ${last}`.trim(), true);
  return failed('no-result', `The agent engine ended without a result. ${last}`.trim(), true);
}

export const engineMissing = (why: string): Outcome =>
  failed(
    'engine-missing',
    `The agent engine's program cannot be run. Reinstall with "npm install" so that the optional package of this platform is there. ${shortened(why)}`.trim(),
  );

/** Some errors carry their status in the text alone. */
function statusIn(said: string): number | undefined {
  const [, status] = /^API Error: (\d{3})\b/i.exec(said) ?? [];
  return status === undefined ? undefined : Number(status);
}

const shortened = (text: string, limit = 500): string => (text.length <= limit ? text : `${text.slice(0, limit - 1)}…`);
