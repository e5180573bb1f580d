import { parseDocument } from 'yaml';
import { z } from 'zod';
import { Unusable } from '../../domain/errors.ts';

/** Text that must occur, or `/a pattern/flags`. Parsed here, so that a bad pattern is refused with the file. */
const pattern = z
  .string()
  .min(1)
  .transform((text, context) => {
    const [, source, flags] = /^\/(.+)\/([a-z]*)$/s.exec(text) ?? [];
    if (source === undefined) return (shown: string): boolean => shown.includes(text);
    try {
      const expression = new RegExp(source, flags?.replaceAll(/[gy]/g, ''));
      return (shown: string): boolean => expression.test(shown);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
      return z.NEVER;
    }
  });

const conditions = z.strictObject({
  /** The first reply of a conversation. */
  first: z.boolean().optional(),
  /** Occurs in the first thing the user said, notes of earlier work left out. */
  prompt: pattern.optional(),
  /** Occurs in those notes. */
  notes: pattern.optional(),
  /** Occurs in the last thing the user said. */
  said: pattern.optional(),
  /** Name of the tool whose result came last. */
  tool: z.string().min(1).optional(),
  /** Occurs in the last tool results. */
  result: pattern.optional(),
  /** Whether one of the last tool results was an error. */
  failed: z.boolean().optional(),
  /** Calls without tools: titles, summaries, classifications. Other turns never answer those. */
  helper: z.boolean().optional(),
});

const failure = z.union([
  z.strictObject({
    status: z.number().int().min(400).max(599),
    message: z.string().optional(),
    retryAfterSeconds: z.number().min(0).optional(),
    times: z.number().int().min(1).optional(),
  }),
  /** The answer begins and then breaks off. */
  z.strictObject({ cut: z.literal(true), times: z.number().int().min(1).optional() }),
  /** No answer comes until the caller goes away. */
  z.strictObject({ hang: z.literal(true), times: z.number().int().min(1).optional() }),
]);

/** Before anything is sent. */
const delayMs = z.number().int().min(0).max(3_600_000).optional();
const usage = z
  .strictObject({
    input: z.number().int().min(0).optional(),
    output: z.number().int().min(0).optional(),
    cacheRead: z.number().int().min(0).optional(),
    cacheWrite: z.number().int().min(0).optional(),
  })
  .optional();

const call = z.strictObject({ tool: z.string().min(1), input: z.record(z.string(), z.unknown()).default({}) });

const turn = z
  .strictObject({
    when: conditions.optional(),
    think: z.string().optional(),
    say: z.string().optional(),
    /** One tool call, or several at once. */
    call: z.union([call.transform((one) => [one]), z.array(call).min(1)]).optional(),
    delayMs,
    /** Between pieces of the answer. */
    paceMs: z.number().int().min(0).max(60_000).optional(),
    stop: z.enum(['end_turn', 'max_tokens', 'refusal', 'tool_use']).optional(),
    usage,
    fail: failure.optional(),
  })
  .refine(({ think, say, call, fail }) => think ?? say ?? call ?? fail, 'a turn must think, say, call or fail');

const answer = z
  .strictObject({ give: z.unknown().optional(), delayMs, usage, fail: failure.optional() })
  .refine(({ give, fail }) => give !== undefined || fail, 'an answer must give something or fail');
const answers = z.array(answer).min(1).optional();

const script = z.strictObject({
  name: z.string().min(1),
  about: z.string().optional(),
  /** Conversations that this script is for, by the first thing the user said. Without it, for all. */
  for: pattern.optional(),
  turns: z.array(turn).min(1),
  /** To questions of the server itself, by their kind: in order for each task, the last one from then on. */
  answers: z.strictObject({ review: answers, summary: answers }).optional(),
});

export type Script = z.output<typeof script>;
export type Turn = z.output<typeof turn>;
export type ScriptedAnswer = z.output<typeof answer>;
export type Conditions = z.output<typeof conditions>;

/** A script from YAML or JSON. Throws `Unusable` with the file's name and every fault in it. */
export function parseScript(text: string, file: string): Script {
  const document = parseDocument(text);
  const [broken] = document.errors;
  if (broken) throw new Unusable('bad-rehearsal', `${file} is not valid YAML: ${broken.message}`);
  const parsed = script.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the script'}: ${message}`);
  throw new Unusable('bad-rehearsal', `${file} is not a rehearsal script. ${faults.join('; ')}. See docs/rehearsal.md.`);
}
