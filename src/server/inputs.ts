import { z } from '@hono/zod-openapi';
import { parseCommand } from '../domain/command-line.ts';
import { Refused } from '../domain/errors.ts';
import { type IdKind, idPrefixes, isId, kindOfId } from '../domain/id.ts';
import { priorities } from '../domain/task.ts';
import { tiers } from '../domain/tier.ts';

/** What may come in. Text keeps every character that people write; what would lie to a terminal or break a database is refused. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

export const oneLine = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((text) => text.isWellFormed(), 'must be well-formed Unicode')
    .refine((text) => !controls.test(text), 'must not contain control characters or line breaks')
    .refine((text) => text.trim() !== '', 'must not be blank');

/** Also what stands in paths and on command lines, so no more than that. */
export const profileName = z
  .string()
  .regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, 'must be lower-case words joined by dashes')
  .max(60);

/** Asked before a database is: not every text is one that PostgreSQL takes. */
export const isProfileName = (text: string): boolean => profileName.safeParse(text).success;

/** Counted in bytes as well: PostgreSQL refuses index entries of more than about 2,700. */
export const repositorySchema = oneLine(2_000).refine((text) => Buffer.byteLength(text) <= 2_000, 'must be at most 2000 bytes long');

export const freeText = (max: number) =>
  z
    .string()
    .max(max)
    .refine((text) => text.isWellFormed(), 'must be well-formed Unicode')
    .refine((text) => !text.includes('\0'), 'must not contain NUL characters');

const command = z
  .union([z.string().min(1).max(10_000), z.array(z.string().max(10_000)).min(1).max(200)], {
    error: 'must be a command line or an array of arguments',
  })
  .transform((value, context) => {
    const argv = parseCommand(typeof value === 'string' ? value : JSON.stringify(value));
    if (argv) return [...argv];
    context.addIssue('must be a command line with closed quotes, or an array of arguments without NUL characters');
    return z.NEVER;
  });

const idOf = (kind: IdKind) =>
  z.string().refine((text) => isId(kind, text), {
    error: ({ input }) => `must be a ${kind} id (${idPrefixes[kind]}_…), not ${JSON.stringify(String(input).slice(0, 60))}`,
  });

/** An offset can push a time over the edge of what ISO 8601 writes with four digits, and then no client could read it back. */
const time = z.iso.datetime({ offset: true }).refine((text) => {
  const year = new Date(text).getUTCFullYear();
  return year >= 0 && year <= 9_999;
}, 'must lie in the years 0000 to 9999, in UTC');

const maxDependencies = 1_000;
const dependencies = z
  .array(idOf('task'))
  .max(maxDependencies, `must name at most ${maxDependencies} tasks; gather more behind a task that waits for them`);

export const budgetUsd = z.number().positive().max(1_000_000);

export const newTaskSchema = z
  .strictObject({
    title: oneLine(500),
    body: freeText(500_000)
      .optional()
      .openapi({ description: 'What to do. For the command engine: the command, as a JSON array of arguments or a command line.' }),
    repository: repositorySchema.optional().openapi({ description: 'URL or path.' }),
    ref: oneLine(255).optional(),
    priority: z.enum(priorities).optional().openapi({ description: 'Default: medium.' }),
    dependsOn: dependencies.optional(),
    notBefore: time.optional(),
    dedupeKey: oneLine(500)
      .optional()
      .openapi({ description: 'While a task with this key is open, posting it again answers 200 with that task.' }),
    budgetUsd: budgetUsd
      .optional()
      .openapi({ description: "What its model calls may cost over all attempts; instead of every run's own." }),
    verify: command.optional().openapi({
      description: 'A command that must exit with 0 for the run to count; a command line or an array of arguments. No shell.',
    }),
    doneWhen: freeText(4_000)
      .refine((text) => text.trim() !== '', 'must say something')
      .optional()
      .openapi({
        description: 'When it is done, in words. Told to the agent; a reviewer judges the evidence by it when all gates are green.',
      }),
    maxRounds: z.number().int().min(1).max(100).optional().openapi({
      description: 'How often an agent may try to make the gates green in one attempt. Default: what the repository or the server says.',
    }),
    engine: oneLine(40).optional().openapi({ description: "Default: that of the profile, else the server's." }),
    profile: profileName.optional().openapi({ description: 'The profile to run it with. Default: `default`.' }),
    tier: z.enum(tiers).optional().openapi({ description: 'How much of a model it needs. Goes before what the profile says.' }),
    labels: z.array(oneLine(100)).max(50).optional(),
    maxAttempts: z
      .number()
      .int()
      .min(1)
      .max(20)
      .optional()
      .openapi({ description: 'How often it is tried by itself, recoveries included. Default: 3.' }),
    needsApproval: z.boolean().optional().openapi({ description: 'Wait as `awaiting-approval` until somebody approves it.' }),
  })
  .openapi('NewTask');

export const taskChangeSchema = z
  .strictObject({
    priority: z.enum(priorities).optional(),
    dependsOn: dependencies.optional(),
    budgetUsd: budgetUsd.nullable().optional().openapi({ description: 'In any state of the task; null is no budget of its own.' }),
  })
  .refine(
    (change) => Object.values(change).filter((value) => value !== undefined).length === 1,
    'give exactly one of priority, dependsOn and budgetUsd',
  )
  .openapi('TaskChange');

/** An id in the path. One of another kind is answered with what it is. */
export function requireId(kind: IdKind, text: string): string {
  if (isId(kind, text)) return text;
  const actual = kindOfId(text);
  const shown = text.slice(0, 60);
  throw new Refused(
    404,
    `no-such-${kind}`,
    actual ? `${shown} is the id of a ${actual}, not of a ${kind}.` : `There is no ${kind} ${JSON.stringify(shown)}.`,
  );
}

export const pageSchema = {
  limit: z.coerce.number().int().min(1).max(200).optional().openapi({ description: 'Default: 50.' }),
  cursor: z.string().max(200).optional().openapi({ description: '`nextCursor` of the page before.' }),
};

/** Cursors are opaque to clients, and one that was made up or belongs to another list is refused. */
export const encodeCursor = (list: string, position: string | null): string | null =>
  position === null ? null : Buffer.from(`${list}:${position}`).toString('base64url');

export function decodeCursor(list: string, cursor: string | undefined, valid: (position: string) => boolean): string | null {
  if (cursor === undefined) return null;
  const position = Buffer.from(cursor, 'base64url')
    .toString()
    .slice(list.length + 1);
  if (valid(position) && encodeCursor(list, position) === cursor) return position;
  throw new Refused(400, 'bad-cursor', 'That cursor is not from this list. Start again without one.');
}

/** A day of the calendar, in UTC. */
export const daySchema = z.iso.date().openapi({ example: '2026-11-21' });

export const dayMs = 86_400_000;
const longestDays = 366;

/** Days that are looked back on in one go, both included. */
export function checkRange(from: string, to: string): void {
  const days = (Date.parse(to) - Date.parse(from)) / dayMs + 1;
  if (days < 1) throw new Refused(422, 'bad-range', 'The first day comes after the last.');
  if (days > longestDays) throw new Refused(422, 'bad-range', `That is ${days} days; at most ${longestDays} can be looked at in one go.`);
}
