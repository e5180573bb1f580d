import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { priorities } from '../domain/task.ts';
import { tiers } from '../domain/tier.ts';
import { misused } from './failure.ts';
import type { Session } from './session.ts';
import type { Terminal } from './terminal.ts';

export interface TaskFlags {
  readonly body?: string;
  readonly bodyFile?: string;
  readonly repository?: string;
  readonly ref?: string;
  readonly priority?: string;
  readonly dependsOn?: readonly string[];
  readonly notBefore?: string;
  readonly dedupeKey?: string;
  readonly budget?: string;
  readonly verify?: string;
  readonly doneWhen?: string;
  readonly rounds?: string;
  readonly engine?: string;
  readonly attempts?: string;
  readonly needsApproval?: true;
  readonly profile?: string;
  readonly tier?: string;
  readonly label?: readonly string[];
}

/** The options of `new` and `run`: one for each field of a task. */
export const taskFlags = (command: Command): Command =>
  command
    .option('-b, --body <text>', 'what to do, in full; - reads it from standard input')
    .option('-F, --body-file <file>', 'read the body from a file; - is standard input')
    .option('-r, --repository <url|path>', 'repository to work on')
    .option('--ref <ref>', 'branch, tag or commit to begin from')
    .addOption(new Option('-p, --priority <level>', 'how urgent it is (default: medium)').choices(priorities))
    .option('-d, --depends-on <task>', 'task that must succeed first; can be repeated', gather)
    .option('--not-before <time>', 'earliest start: a time (2026-05-01T08:00) or a delay (30m, 2h, 1d)')
    .option('--dedupe-key <key>', 'while a task with this key is open, this is the same task')
    .option('--budget <usd>', 'most it may cost, in US dollars')
    .option('--verify <command>', 'command that must exit with 0 for the work to count')
    .option('--done-when <text>', 'when it is done, in words; a reviewer judges the work by it')
    .option('--rounds <n>', 'how often an agent may try to make the gates green')
    .option('--engine <name>', 'engine to run it with')
    .option('--attempts <n>', 'how often it is tried by itself (default: 3)')
    .option('--needs-approval', 'wait until somebody approves it')
    .option('--profile <name>', 'profile to run it with (default: default)')
    .addOption(new Option('--tier <tier>', 'how much of a model it needs, whatever its profile says').choices(tiers))
    .option('-l, --label <label>', 'label to give it; can be repeated', gather);

export const gather = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/** The body of `POST /api/tasks`. What only the server can judge is left to the server. */
export async function taskOf(title: string, flags: TaskFlags, { terminal }: Session): Promise<Record<string, unknown>> {
  const fields = {
    title,
    body: await textFrom('body', flags.body, flags.bodyFile, terminal),
    repository: flags.repository,
    ref: flags.ref,
    priority: flags.priority,
    dependsOn: flags.dependsOn,
    notBefore: flags.notBefore === undefined ? undefined : timeOf(flags.notBefore, terminal.clock.now()),
    dedupeKey: flags.dedupeKey,
    budgetUsd: flags.budget === undefined ? undefined : amountOf(flags.budget),
    verify: flags.verify,
    doneWhen: flags.doneWhen,
    maxRounds: flags.rounds === undefined ? undefined : countOf('--rounds', flags.rounds),
    engine: flags.engine,
    maxAttempts: flags.attempts === undefined ? undefined : countOf('--attempts', flags.attempts),
    needsApproval: flags.needsApproval,
    profile: flags.profile,
    tier: flags.tier,
    labels: flags.label,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** What `--NAME` says, or the file of `--NAME-file` holds; - is standard input. */
export async function textFrom(
  name: string,
  text: string | undefined,
  file: string | undefined,
  terminal: Terminal,
): Promise<string | undefined> {
  if (text !== undefined && file !== undefined) throw misused(`Give the ${name} with --${name} or with --${name}-file, not with both.`);
  if (text === '-' || file === '-') return readAll(terminal.stdin);
  if (file === undefined) return text;
  try {
    return readFileSync(resolve(terminal.cwd, file), 'utf8');
  } catch (cause) {
    throw misused(`The ${name} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`);
  }
}

async function readAll(input: Terminal['stdin']): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of input) text += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function timeOf(text: string, now: number, flag = '--not-before'): string {
  const [, amount, unit] = /^\+?(\d{1,6})(s|m|h|d)$/.exec(text) ?? [];
  const at = amount === undefined ? Date.parse(text) : now + Number(amount) * (units[unit ?? ''] ?? 0);
  if (!/^\d{4}-|^\+?\d+[smhd]$/.test(text) || Number.isNaN(at)) {
    throw misused(
      `${flag} must be a time such as 2026-05-01T08:00 (yours, unless it says otherwise) or a delay such as 30m, not ${JSON.stringify(text)}.`,
    );
  }
  return new Date(at).toISOString();
}

function countOf(flag: string, text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw misused(`${flag} must be a number such as 3, not ${JSON.stringify(text)}.`);
}

export function amountOf(text: string): number {
  const amount = Number(text.replace(/^\$/, ''));
  if (text.trim() !== '' && amount > 0) return amount;
  throw misused(`--budget must be an amount in US dollars such as 2.50, not ${JSON.stringify(text)}.`);
}
