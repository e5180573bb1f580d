import { z } from 'zod';
import { idPrefixes } from '../domain/id.ts';
import type { QuestionKind } from '../domain/spending.ts';
import type { Tier } from '../domain/tier.ts';
import type { NewId } from '../platform/ids.ts';
import { textWithin } from '../platform/text-within.ts';
import type { Caller } from './caller.ts';
import { type CallParts, makeCall } from './make-call.ts';
import { errorIn } from './providers/error-forms.ts';
import type { MessagesBody } from './providers/provider.ts';

/** Something small that the server itself wants to know. */
export interface Question<T> {
  readonly kind: QuestionKind;
  readonly tier: Tier;
  /** Whose budgets pay for it, besides the day's. */
  readonly taskId: string | null;
  readonly runId: string | null;
  readonly system: string;
  readonly text: string;
  /** The form of the answer; its descriptions are what the model is told about it. */
  readonly answer: z.ZodType<T>;
  readonly maxTokens: number;
}

/**
 * `no-provider`: nothing is set up that could answer. `over-budget`: there is no money for it. `refused`: by the provider
 * or the model, and would be again. `unusable`: what came did not fit, twice. `unavailable`: not now.
 */
export type Answered<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: 'no-provider' | 'over-budget' | 'refused' | 'unusable' | 'unavailable'; readonly message: string };

/**
 * Asks a model through the same door as agents do: reserved for, routed, tried again and in the ledger, under its own kind.
 * It waits for a provider as long as an agent would, so the signal sets the time. Rejects only when that aborts.
 */
export type Ask = <T>(question: Question<T>, signal: AbortSignal) => Promise<Answered<T>>;

export interface AskParts extends CallParts {
  readonly newId: NewId;
  /** The model of each tier; undefined where none is named. */
  readonly tiers: Readonly<Record<Tier, string | undefined>>;
}

/** The tool that the model has to call; its input is `{answer}`. */
export const answerTool = 'give_answer';

const longestAnswer = 4 * 1024 * 1024;
/** What is quoted back of an answer that did not fit. */
const longestQuote = 20_000;

export const noModelToAsk: Ask = async () => ({
  ok: false,
  code: 'no-provider',
  message: 'No model provider is set up. Set ANTHROPIC_API_KEY, or see docs/models.md.',
});

export function createAsk(parts: AskParts): Ask {
  return async (question, signal) => {
    const model = parts.tiers[question.tier];
    if (model === undefined) {
      const message = `No model is named for the tier ${question.tier}. Set LLM_MODEL, or the tier's own; see docs/models.md.`;
      return { ok: false, code: 'no-provider', message };
    }
    const { kind, taskId } = question;
    const caller = { runId: question.runId ?? parts.newId(idPrefixes.call), taskId, conversationId: null, kind };
    // In an envelope: a tool's input has to be an object, and the API takes no choice of several at its top.
    const envelope = z.object({ answer: question.answer });
    let misfit: Misfit | undefined;
    for (const last of [false, true]) {
      const reply = await said(parts, caller, requestOf(model, question, envelope, misfit), signal);
      if (reply === 'cut') {
        if (last) return { ok: false, code: 'unavailable', message: 'The answer broke off, or was none of a model.' };
        continue;
      }
      if ('ok' in reply) return reply;
      const read = fitting(envelope, reply);
      if (read.ok) return read;
      misfit = read.misfit;
    }
    const why = misfit?.why ?? 'it broke off';
    return { ok: false, code: 'unusable', message: `The model's answer does not have the form that was asked for: ${why}.` };
  };
}

interface Misfit {
  readonly why: string;
  /** What came, as far as it can be quoted. */
  readonly came: string;
}

type Failed = Extract<Answered<never>, { ok: false }>;

function requestOf(
  model: string,
  { system, text, maxTokens }: Pick<Question<unknown>, 'system' | 'text' | 'maxTokens'>,
  envelope: z.ZodType,
  misfit?: Misfit,
): MessagesBody {
  const { $schema: _, ...form } = z.toJSONSchema(envelope, { io: 'input', unrepresentable: 'any' });
  const again =
    misfit &&
    `An earlier answer did not fit: ${misfit.why}.\nIt was:\n${misfit.came.slice(0, longestQuote)}\nAnswer again, in the right form.`;
  return {
    model,
    max_tokens: maxTokens,
    system,
    messages: [{ role: 'user', content: [text, again].flatMap((part) => (part ? [{ type: 'text', text: part }] : [])) }],
    tools: [{ name: answerTool, description: 'Gives the answer. Call it once.', input_schema: form }],
    tool_choice: { type: 'tool', name: answerTool, disable_parallel_tool_use: true },
  };
}

interface Reply {
  readonly input: unknown;
  readonly stop: string;
  readonly text: string;
}

/** What the model said, or why nobody did. An answer that breaks off can be asked for again; what it cost is in the ledger. */
async function said(parts: CallParts, caller: Caller, message: MessagesBody, signal: AbortSignal): Promise<Reply | 'cut' | Failed> {
  const headers = new Headers({ 'content-type': 'application/json' });
  const body = Buffer.from(JSON.stringify(message));
  const { response, overBudget } = await makeCall(parts, { caller, endpoint: 'messages', query: '', headers, body, message }, signal);
  const text = await textWithin(response.body, longestAnswer).catch(() => undefined);
  signal.throwIfAborted();
  if (!response.ok) {
    const code = overBudget ? 'over-budget' : isFinal(response.status) ? 'refused' : 'unavailable';
    return { ok: false, code, message: errorIn(text ?? '').message ?? `The provider answered with status ${response.status}.` };
  }
  const reply = text === undefined ? undefined : replyIn(text);
  if (reply?.stop === 'refusal') return { ok: false, code: 'refused', message: `The model refuses to answer. ${reply.text}`.trim() };
  return reply ?? 'cut';
}

/** It is the request that is at fault, not the account, the provider or the moment. */
const isFinal = (status: number): boolean => [400, 403, 404, 413, 422].includes(status);

function fitting<T>(
  envelope: z.ZodType<{ readonly answer: T }>,
  { input, stop, text }: Reply,
): { readonly ok: true; readonly value: T } | { readonly ok: false; readonly misfit: Misfit } {
  if (input === undefined) return { ok: false, misfit: { why: `the tool ${answerTool} was not called`, came: text } };
  const parsed = envelope.safeParse(input);
  if (parsed.success) return { ok: true, value: parsed.data.answer };
  const faults = parsed.error.issues.slice(0, 20).map(({ path, message }) => `${path.join('.') || 'the input'}: ${message}`);
  const cut = stop === 'max_tokens' ? ['it was too long and was cut off'] : [];
  return { ok: false, misfit: { why: [...cut, ...faults].join('; '), came: JSON.stringify(input) } };
}

const block = z.looseObject({ type: z.string(), name: z.string().optional(), input: z.unknown().optional(), text: z.string().optional() });
const replyForm = z.object({ stop_reason: z.string().nullable(), content: z.array(block) });

function replyIn(text: string): Reply | undefined {
  const parsed = replyForm.safeParse(jsonIn(text));
  if (!parsed.success) return undefined;
  const { content, stop_reason: stop } = parsed.data;
  const call = content.find(({ type, name }) => type === 'tool_use' && name === answerTool);
  return { input: call?.input, stop: stop ?? '', text: content.map(({ text: words }) => words ?? '').join('') };
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
