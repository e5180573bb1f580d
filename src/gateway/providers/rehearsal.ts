import { randomBytes } from 'node:crypto';
import { isQuestion, type QuestionKind } from '../../domain/spending.ts';
import { type Clock, wait } from '../../platform/clock.ts';
import { answerTool } from '../ask.ts';
import type { Caller } from '../caller.ts';
import { type Conversation, callId, readConversation, scriptFor, turnFor } from '../rehearsal/conversation.ts';
import { type Reply, type ReplyBlock, replyEvents, wholeReply } from '../rehearsal/reply.ts';
import type { Script, ScriptedAnswer, Turn } from '../rehearsal/script.ts';
import { errorAnswer, type ModelRequest, type Provider } from './provider.ts';

/**
 * A model that follows a script: free, offline, and the same every time. Which turn answers is decided by the conversation
 * that a request shows; only how often a turn has failed is remembered, per run, and how often the server has asked for
 * something itself, per task.
 */
export function rehearsalProvider(scripts: readonly Script[], clock: Clock): Provider {
  const failures = createCounter();
  const answers = createCounter();
  return {
    name: 'rehearsal',
    async answer(request, signal) {
      switch (request.endpoint) {
        case 'models':
          return Response.json({ data: [{ type: 'model', id: 'rehearsal', display_name: 'Rehearsal' }], has_more: false });
        case 'count_tokens':
          return Response.json({ input_tokens: tokensOf(request.body?.length ?? 0) });
        case 'messages': {
          const conversation = readConversation(request.message);
          const { caller } = request;
          const { kind } = caller;
          const chosen = isQuestion(kind) ? chooseAnswer(scripts, conversation, kind, answers, caller) : choose(scripts, conversation);
          if (!chosen) return noAnswer(kind);
          const { turn, index, script } = chosen;
          const failing = turn.fail !== undefined && failures.next(`${caller.runId}/${script}/${index}`) <= (turn.fail.times ?? Infinity);
          if (turn.delayMs) await wait(clock, turn.delayMs, signal);
          signal.throwIfAborted();
          if (failing) return fail(turn, replyFor(turn, index, conversation, request), signal, clock);
          return deliver(turn, replyFor(turn, index, conversation, request), request.message.stream === true, signal, clock);
        }
      }
    },
  };
}

/** Helpers of the SDK want a title, a summary, a yes; this passes for any of them. */
const helperTurn: Turn = { say: '{"title": "Rehearsal"}' };
const lastTurn: Turn = { say: 'The rehearsal is over.' };

interface Chosen {
  readonly turn: Turn;
  readonly index: number;
  readonly script: string;
}

function choose(scripts: readonly Script[], conversation: Conversation): Chosen {
  const script = scriptFor(scripts, conversation);
  const found = script && turnFor(script, conversation);
  if (script && found) return { ...found, script: script.name };
  return { turn: conversation.helper ? helperTurn : lastTurn, index: script?.turns.length ?? 0, script: script?.name ?? '' };
}

/** The next answer to what the server asks of this kind; undefined when the script has none. */
function chooseAnswer(
  scripts: readonly Script[],
  conversation: Conversation,
  kind: QuestionKind,
  given: Counter,
  { taskId, runId }: Caller,
): Chosen | undefined {
  const script = scriptFor(scripts, conversation);
  const scripted = (script?.answers?.[kind] ?? []).flatMap(eachTime);
  if (!script || scripted.length === 0) return undefined;
  const index = Math.min(scripted.length, given.next(`${taskId ?? runId}/${script.name}/${kind}`)) - 1;
  const { give, ...turn } = scripted[index] as ScriptedAnswer;
  return { turn: { ...turn, call: [{ tool: answerTool, input: { answer: give } }] }, index, script: `${script.name}/${kind}` };
}

/** One that fails a few times is as many that fail, and then one that does not. */
function eachTime(answer: ScriptedAnswer): readonly ScriptedAnswer[] {
  const { fail: failure, ...rest } = answer;
  if (failure?.times === undefined) return [answer];
  const { times, ...always } = failure;
  return [...Array<ScriptedAnswer>(times).fill({ ...rest, fail: always }), ...(rest.give === undefined ? [] : [rest])];
}

const noAnswer = (kind: string): Response =>
  errorAnswer({
    status: 503,
    message: `The rehearsal script has nothing under \`answers.${kind}\`. See docs/rehearsal.md.`,
    headers: { 'x-should-retry': 'false' },
  });

function replyFor(turn: Turn, index: number, conversation: Conversation, request: ModelRequest): Reply {
  const filled = (text: string): string => fill(text, conversation);
  const blocks: ReplyBlock[] = [
    ...(turn.think === undefined ? [] : [{ type: 'thinking' as const, thinking: filled(turn.think) }]),
    ...(turn.say === undefined ? [] : [{ type: 'text' as const, text: filled(turn.say) }]),
    ...(turn.call ?? []).map(({ tool, input }, at) => ({
      type: 'tool_use' as const,
      id: callId(index, at, randomBytes(8).toString('hex')),
      name: tool,
      input: fillIn(input, conversation),
    })),
  ];
  const { model } = request.message;
  return {
    id: `msg_rehearsal_${randomBytes(8).toString('hex')}`,
    model: typeof model === 'string' ? model : 'rehearsal',
    blocks,
    stop: turn.stop ?? (turn.call ? 'tool_use' : 'end_turn'),
    usage: usageOf(turn, blocks, conversation, request.body?.length ?? 0),
  };
}

/** As with a real model, most of a conversation that goes on is read from the cache. */
function usageOf({ usage }: Turn, blocks: readonly ReplyBlock[], { position }: Conversation, bodyBytes: number): Reply['usage'] {
  const prompt = tokensOf(bodyBytes);
  const fresh = Math.ceil(prompt / 20);
  return {
    inputTokens: usage?.input ?? fresh,
    outputTokens: usage?.output ?? Math.max(1, tokensOf(JSON.stringify(blocks).length)),
    cacheReadTokens: usage?.cacheRead ?? (position > 0 ? prompt - fresh : 0),
    cacheWriteTokens: usage?.cacheWrite ?? (position > 0 ? 0 : prompt - fresh),
  };
}

const tokensOf = (characters: number): number => Math.ceil(characters / 4);

async function fail({ fail: failure }: Turn, reply: Reply, signal: AbortSignal, clock: Clock): Promise<Response> {
  if (failure && 'status' in failure) {
    return errorAnswer({
      status: failure.status,
      message: failure.message ?? `The rehearsal answers with ${failure.status} here.`,
      ...(failure.retryAfterSeconds === undefined ? {} : { headers: { 'retry-after': String(failure.retryAfterSeconds) } }),
    });
  }
  if (failure && 'cut' in failure) {
    const events = [...replyEvents(reply)];
    return streamed(events.slice(0, Math.max(2, Math.floor(events.length / 2))), 0, signal, clock, new Error('cut off, as rehearsed'));
  }
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  throw signal.reason;
}

function deliver({ paceMs = 0 }: Turn, reply: Reply, stream: boolean, signal: AbortSignal, clock: Clock): Response {
  return stream ? streamed(replyEvents(reply), paceMs, signal, clock) : Response.json(wholeReply(reply));
}

function streamed(events: Iterable<string>, paceMs: number, signal: AbortSignal, clock: Clock, then?: Error): Response {
  const encoder = new TextEncoder();
  const rest = events[Symbol.iterator]();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (paceMs > 0) await wait(clock, paceMs, signal);
        const next = rest.next();
        if (!next.done) return controller.enqueue(encoder.encode(next.value));
        if (then) controller.error(then);
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' } });
}

const fill = (text: string, { cwd, prompt }: Conversation): string => text.replaceAll('{{cwd}}', cwd).replaceAll('{{prompt}}', prompt);

const fillIn = (input: Readonly<Record<string, unknown>>, conversation: Conversation): Readonly<Record<string, unknown>> =>
  filledValue(input, conversation) as Record<string, unknown>;

function filledValue(value: unknown, conversation: Conversation): unknown {
  if (typeof value === 'string') return fill(value, conversation);
  if (Array.isArray(value)) return value.map((each) => filledValue(each, conversation));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, filledValue(each, conversation)]));
}

interface Counter {
  next(name: string): number;
}

/** Counts per name, forgetting the oldest names: runs end, and nobody says so here. */
function createCounter(limit = 10_000): Counter {
  const counts = new Map<string, number>();
  return {
    next(name) {
      const count = (counts.get(name) ?? 0) + 1;
      counts.delete(name);
      counts.set(name, count);
      if (counts.size > limit) counts.delete(counts.keys().next().value as string);
      return count;
    },
  };
}
