import { parseDocument } from 'yaml';
import { z } from 'zod';
import { parseCommand } from '../domain/command-line.ts';

/** Where a repository says what has to hold for its changes. */
export const gatesFile = '.nightshift.yaml';
const longestFile = 64 * 1024;

const command = z.union([z.string().min(1).max(2_000), z.array(z.string().max(2_000)).min(1).max(100)]).transform((value, context) => {
  const argv = parseCommand(typeof value === 'string' ? value : JSON.stringify(value));
  if (argv) return argv;
  context.addIssue('must be a command line with closed quotes, or a list of arguments');
  return z.NEVER;
});

const gate = z.union([
  z.literal(false).transform(() => ({ off: true }) as const),
  command.transform((run) => ({ off: false, run, timeoutSeconds: undefined, required: false }) as const),
  z
    .strictObject({
      run: command.optional(),
      timeoutSeconds: z.int().min(1).max(86_400).optional(),
      /** Red counts even when it was red before. */
      required: z.boolean().default(false),
    })
    .transform(({ run, timeoutSeconds, required }) => ({ off: false, run, timeoutSeconds, required }) as const),
]);

const pattern = z.string().min(1).max(200);

const schema = z.strictObject({
  gates: z
    .record(z.string().regex(/^[a-z][a-z0-9-]{0,39}$/, 'a gate is named in small letters, digits and hyphens'), gate)
    .refine((gates) => Object.keys(gates).length <= 50, 'there may be at most 50 gates')
    .default({}),
  limits: z
    .strictObject({
      rounds: z.int().min(1).max(100).optional(),
      minutes: z.number().min(1).max(1_440).optional(),
      changedFiles: z.int().min(1).max(100_000).default(200),
      changedLines: z.int().min(1).max(10_000_000).default(10_000),
      coverage: z.number().min(0).max(100).default(80),
      complexity: z.int().min(1).max(1_000).default(10),
    })
    .prefault({}),
  paths: z.strictObject({ forbidden: z.array(pattern).max(200).default([]) }).prefault({}),
});

export type GateSettings = z.output<typeof schema>;
export type GateSetting = z.output<typeof gate>;

export type ParsedSettings = { readonly ok: true; readonly settings: GateSettings } | { readonly ok: false; readonly message: string };

const defaultSettings: GateSettings = schema.parse({});

/** Hostile input: bounded before it is parsed, and nothing in it can refer to anything outside of it. */
export function parseGateSettings(text: string | undefined): ParsedSettings {
  if (text === undefined) return { ok: true, settings: defaultSettings };
  if (text.length > longestFile) return { ok: false, message: `it is longer than ${longestFile} characters` };
  try {
    const document = parseDocument(text, { logLevel: 'silent' });
    const [broken] = document.errors;
    if (broken) return { ok: false, message: firstLine(broken.message) };
    const parsed = schema.safeParse(document.toJS({ maxAliasCount: 0 }) ?? {});
    if (parsed.success) return { ok: true, settings: parsed.data };
    const [issue] = parsed.error.issues;
    return { ok: false, message: `${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'not understood'}` };
  } catch (error) {
    return { ok: false, message: firstLine(error instanceof Error ? error.message : String(error)) };
  }
}

/** In what the second asks less than the first, in words. */
export function weakerSettings(
  before: GateSettings,
  now: GateSettings,
  /** What is run where the file says nothing. */
  detected: readonly { readonly id: string; readonly argv: readonly string[] }[] = [],
): readonly string[] {
  const gates = Object.entries(before.gates).flatMap(([id, was]) => {
    const is = now.gates[id];
    if (was.off) return [];
    if (is === undefined || is.off) return [`the gate ${id} is ${is === undefined ? 'gone' : 'switched off'}`];
    if (was.required && !is.required) return [`the gate ${id} is no longer required`];
    return JSON.stringify(was.run) === JSON.stringify(is.run) ? [] : [`the gate ${id} runs another command`];
  });
  const replaced = detected.flatMap(({ id, argv }) => {
    const is = now.gates[id];
    if (before.gates[id] || !is || is.off || is.run === undefined || JSON.stringify(is.run) === JSON.stringify(argv)) return [];
    return [`the gate ${id} runs ${is.run.join(' ').slice(0, 100)} in the place of ${argv.join(' ')}`];
  });
  const off = Object.entries(now.gates).flatMap(([id, is]) => (!is.off || before.gates[id] ? [] : [`the gate ${id} is switched off`]));
  const raised = (['changedFiles', 'changedLines', 'complexity'] as const).flatMap((limit) =>
    now.limits[limit] > before.limits[limit] ? [`the limit ${limit} is raised from ${before.limits[limit]} to ${now.limits[limit]}`] : [],
  );
  const coverage =
    now.limits.coverage < before.limits.coverage
      ? [`the coverage asked for is lowered from ${before.limits.coverage} to ${now.limits.coverage} %`]
      : [];
  const allowed = before.paths.forbidden
    .filter((path) => !now.paths.forbidden.includes(path))
    .map((path) => `${path} is no longer a forbidden path`);
  return [...gates, ...replaced, ...off, ...raised, ...coverage, ...allowed];
}

const firstLine = (text: string): string => (text.split('\n')[0] ?? '').slice(0, 300);
