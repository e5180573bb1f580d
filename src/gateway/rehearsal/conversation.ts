import { partedPrompt } from '../../domain/reminder.ts';
import type { MessagesBody } from '../providers/provider.ts';
import type { Conditions, Script, Turn } from './script.ts';

/** What a request shows of its conversation; a script decides by this alone, so any request can be answered at any time. */
export interface Conversation {
  /** Without the notes that came with it. */
  readonly prompt: string;
  readonly notes: string;
  readonly said: string;
  /** Calls the model made in its last reply that had any. */
  readonly lastTools: readonly string[];
  /** Results that came with the last message; empty when it was none of results. */
  readonly results: readonly { readonly text: string; readonly failed: boolean; readonly tool: string | undefined }[];
  /** How many replies the script has given so far. */
  readonly position: number;
  readonly helper: boolean;
  readonly cwd: string;
}

interface Block {
  readonly type?: unknown;
  readonly text?: unknown;
  readonly id?: unknown;
  readonly name?: unknown;
  readonly tool_use_id?: unknown;
  readonly content?: unknown;
  readonly is_error?: unknown;
}

interface Message {
  readonly role: string;
  readonly blocks: readonly Block[];
}

/** Ids of the calls we make say which turn made them: a history that was cut, resumed or mended still shows where it stands. */
export const callId = (turn: number, call: number, chance: string): string => `toolu_r${turn}x${call}x${chance}`;
const turnOfCall = (id: unknown): number | undefined => {
  const [, turn] = /^toolu_r(\d+)x/.exec(String(id)) ?? [];
  return turn === undefined ? undefined : Number(turn);
};

export function readConversation({ system, messages, tools }: MessagesBody): Conversation {
  const all = (Array.isArray(messages) ? messages : []).map(toMessage);
  const fromUser = all.filter(({ role }) => role === 'user');
  const last = fromUser.at(-1);
  const toolNames = new Map(
    all.flatMap(({ blocks }) =>
      blocks.filter(({ type }) => type === 'tool_use').map(({ id, name }) => [String(id), String(name)] as const),
    ),
  );
  const results = (last?.blocks ?? [])
    .filter(({ type }) => type === 'tool_result')
    .map((block) => ({ text: textOf(block.content), failed: block.is_error === true, tool: toolNames.get(String(block.tool_use_id)) }));
  // What is noted changes from run to run; a script that is to play the same each time goes by the task.
  const { task: prompt, notes } = partedPrompt(spoken(fromUser.find((message) => spoken(message) !== '')));
  return {
    prompt,
    notes,
    said: partedPrompt(spoken(fromUser.findLast((message) => spoken(message) !== ''))).task,
    lastTools: results.flatMap(({ tool }) => tool ?? []),
    results,
    position: positionIn(all),
    helper: !Array.isArray(tools) || tools.length === 0,
    cwd: workingDirectoryIn([textOf(system), ...all.map(({ blocks }) => textOf(blocks))].join('\n')),
  };
}

export const scriptFor = (scripts: readonly Script[], { prompt }: Conversation): Script | undefined =>
  scripts.find((script) => script.for?.(prompt)) ?? scripts.find((script) => script.for === undefined);

/**
 * The turn that answers: the first whose conditions all hold, else the one at this position, if that has no conditions.
 * Positions count every turn of the file, so a script of turns without conditions is simply played in order.
 */
export function turnFor({ turns }: Script, conversation: Conversation): { readonly turn: Turn; readonly index: number } | undefined {
  const conditional = turns.findIndex(({ when }) => when !== undefined && holds(when, conversation));
  if (conditional >= 0) return { turn: turns[conditional] as Turn, index: conditional };
  if (conversation.helper) return undefined;
  const index = turns.findIndex(({ when }, at) => at >= conversation.position && when === undefined);
  return index < 0 ? undefined : { turn: turns[index] as Turn, index };
}

function holds(when: Conditions, { prompt, notes, said, lastTools, results, position, helper }: Conversation): boolean {
  return (
    (when.helper ?? false) === helper &&
    (when.first === undefined || when.first === (position === 0)) &&
    (when.prompt === undefined || when.prompt(prompt)) &&
    (when.notes === undefined || when.notes(notes)) &&
    (when.said === undefined || when.said(said)) &&
    (when.tool === undefined || lastTools.includes(when.tool)) &&
    (when.result === undefined || results.some(({ text }) => when.result?.(text))) &&
    (when.failed === undefined || (results.length > 0 && when.failed === results.some(({ failed }) => failed)))
  );
}

/** After the turn of our last call, plus the replies since; without any call, after as many as there were replies. */
function positionIn(messages: readonly Message[]): number {
  const replies = messages.filter(({ role }) => role === 'assistant');
  const turns = replies.map(({ blocks }) => Math.max(-1, ...blocks.map(({ id }) => turnOfCall(id) ?? -1)));
  const lastCall = turns.findLastIndex((turn) => turn >= 0);
  const since = replies.slice(lastCall + 1).filter(({ blocks }) => !isFiller(textOf(blocks))).length;
  return (turns[lastCall] ?? -1) + 1 + since;
}

/** What the SDK puts into a history itself, for an interrupted reply. */
const isFiller = (text: string): boolean => /^(?:no response requested\.?|\(no content\)|\[request interrupted.*)?$/i.test(text.trim());

const toMessage = (value: unknown): Message => {
  const { role, content } = (value ?? {}) as { role?: unknown; content?: unknown };
  return { role: String(role), blocks: typeof content === 'string' ? [{ type: 'text', text: content }] : blocksOf(content) };
};

const blocksOf = (content: unknown): readonly Block[] =>
  Array.isArray(content) ? content.filter((block): block is Block => typeof block === 'object' && block !== null) : [];

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return blocksOf(content)
    .flatMap(({ text }) => (typeof text === 'string' ? [text] : []))
    .join('\n');
}

/** A person's words: what the SDK adds to them is left out. */
function spoken(message: Message | undefined): string {
  return (message?.blocks ?? [])
    .flatMap(({ type, text }) => (type === 'text' && typeof text === 'string' ? [text] : []))
    .map((text) => text.replaceAll(/<system-reminder>.*?<\/system-reminder>/gs, '').trim())
    .filter((text) => text !== '')
    .join('\n');
}

const workingDirectoryIn = (text: string): string => /primary working directory: (\S[^\n<]*)/i.exec(text)?.[1]?.trim() ?? '.';
