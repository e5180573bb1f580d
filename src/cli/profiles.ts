import { type Command, Option } from 'commander';
import { tiers } from '../domain/tier.ts';
import type { Profile } from './api.ts';
import type { Client } from './client.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { tryEach } from './each.ts';
import { Failure, misused } from './failure.ts';
import { block, oneLine } from './legible.ts';
import { type Define, examples, type Session } from './session.ts';
import { amountOf, gather, textFrom } from './task-flags.ts';

interface SetFlags extends ClientFlags {
  readonly description?: string;
  readonly prompt?: string;
  readonly promptFile?: string;
  readonly instructions?: string;
  readonly instructionsFile?: string;
  readonly tier?: string;
  readonly model?: string;
  readonly tools?: string;
  readonly runTimeout?: string;
  readonly maxTurns?: string;
  readonly budget?: string;
  readonly engine?: string;
  readonly unset?: readonly Clearable[];
}

const clearable = [
  'description',
  'prompt',
  'instructions',
  'tier',
  'model',
  'tools',
  'run-timeout',
  'max-turns',
  'budget',
  'engine',
] as const;
type Clearable = (typeof clearable)[number];

export const define: Define = (command, session) => {
  examples(
    clientFlags(command),
    'nightshift profiles',
    'nightshift profiles show reviewer',
    'nightshift profiles set --help',
    'nightshift profiles delete reviewer',
  ).action(async (flags: ClientFlags) => {
    const all = await connect(flags, session).get<{ readonly items: readonly Profile[] }>('/api/profiles');
    if (flags.json) return session.screen.json(all);
    list(session, all.items);
  });

  below(command, session, 'show <name>', 'tell all about one profile', async (flags, client, name) => {
    const profile = await client.get<Profile>(pathOf(name));
    if (flags.json) session.screen.json(profile);
    else show(session, profile);
  });

  examples(
    setFlags(
      below(
        command,
        session,
        'set <name>',
        'change a profile, or make it; what is not named stays as it is',
        async (flags, client, name) => {
          const { made, profile } = await set(client, name, flags, session);
          if (flags.json) session.screen.json(profile);
          else session.screen.line(`${name}  ${made ? 'made' : 'changed'}`);
        },
      ),
    ),
    'nightshift profiles set reviewer --prompt "Review {{branch}}: {{title}}" --tools Read,Grep,Glob --max-turns 30',
    'nightshift profiles set default --unset model',
  );

  const deletion = clientFlags(command.command('delete').description('delete profiles that no open task needs').argument('<name...>'));
  deletion.action((names: readonly string[]) =>
    tryEach(
      session,
      deletion.optsWithGlobals<ClientFlags>(),
      names,
      async (client, name) => {
        await client.delete(pathOf(name));
        return { name };
      },
      ({ name }) => `${oneLine(name)}  deleted`,
    ),
  );
};

function below(
  command: Command,
  session: Session,
  nameAndArguments: string,
  about: string,
  act: (flags: SetFlags, client: Client, name: string) => Promise<void>,
): Command {
  const sub = clientFlags(command.command(nameAndArguments).description(about));
  return sub.action((name: string) => {
    // The options of the command itself come along, wherever on the line they stand.
    const flags = sub.optsWithGlobals<SetFlags>();
    return act(flags, connect(flags, session), name);
  });
}

const setFlags = (command: Command): Command =>
  command
    .option('--description <text>', 'what it is for, in one line')
    .option('--prompt <text>', 'what the agent is told, with placeholders such as {{title}}; - reads it from standard input')
    .option('--prompt-file <file>', 'read the prompt from a file')
    .option('--instructions <text>', 'what is added to the system prompt; - reads it from standard input')
    .option('--instructions-file <file>', 'read the instructions from a file')
    .addOption(new Option('--tier <tier>', 'how much of a model it needs').choices(tiers))
    .option('--model <name>', 'the model itself')
    .option('--tools <names>', 'the only tools it may use, separated by commas')
    .option('--run-timeout <seconds>', 'longest time one run may take')
    .option('--max-turns <count>', 'most turns of one run')
    .option('--budget <usd>', 'budget of tasks that name none')
    .option('--engine <name>', 'engine of tasks that name none')
    .addOption(
      new Option('--unset <setting>', 'go back to what the server does without it; can be repeated').choices(clearable).argParser(collect),
    );

/** Choices are checked by commander only where it parses by itself. */
function collect(value: string, before: readonly string[] = []): readonly string[] {
  if (!(clearable as readonly string[]).includes(value)) throw misused(`--unset takes one of ${clearable.join(', ')}.`);
  return gather(value, before);
}

/** Reads, changes and writes it back: of two who do that at the same time, the later one's word counts. */
async function set(
  client: Client,
  name: string,
  flags: SetFlags,
  session: Session,
): Promise<{ readonly made: boolean; readonly profile: Profile }> {
  const changes = await changesIn(flags, session);
  const known = await client.get<Profile>(pathOf(name)).catch((error: unknown) => {
    if (error instanceof Failure && error.code === 'no-such-profile') return undefined;
    throw error;
  });
  if (!known) return { made: true, profile: (await client.send<Profile>('POST', '/api/profiles', { name, ...changes })).body };
  const { id: _, name: __, createdAt: ___, updatedAt: ____, ...settings } = known;
  const wanted = { ...settings, ...changes, limits: { ...settings.limits, ...changes.limits } };
  return { made: false, profile: (await client.send<Profile>('PUT', pathOf(name), wanted)).body };
}

async function changesIn(flags: SetFlags, { terminal }: Session): Promise<Record<string, unknown> & { readonly limits: object }> {
  const cleared = new Set(flags.unset);
  const given = (name: Clearable, value: unknown): unknown => {
    if (cleared.has(name) && value !== undefined) throw misused(`--unset ${name} and --${name} contradict each other.`);
    return cleared.has(name) ? null : value;
  };
  const settings = {
    description: given('description', flags.description),
    promptTemplate: given('prompt', await textFrom('prompt', flags.prompt, flags.promptFile, terminal)),
    instructions: given('instructions', await textFrom('instructions', flags.instructions, flags.instructionsFile, terminal)),
    tier: given('tier', flags.tier),
    model: given('model', flags.model),
    tools: given(
      'tools',
      flags.tools?.split(',').map((tool) => tool.trim()),
    ),
    engine: given('engine', flags.engine),
  };
  const limits = {
    timeoutSeconds: given('run-timeout', countOf('--run-timeout', flags.runTimeout)),
    maxTurns: given('max-turns', countOf('--max-turns', flags.maxTurns)),
    budgetUsd: given('budget', flags.budget === undefined ? undefined : amountOf(flags.budget)),
  };
  return { ...withoutGaps(settings), limits: withoutGaps(limits) };
}

function countOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw misused(`${flag} must be a whole number above 0, not ${JSON.stringify(text)}.`);
}

const withoutGaps = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const pathOf = (name: string): string => `/api/profiles/${encodeURIComponent(name)}`;

function list({ screen }: Session, items: readonly Profile[]): void {
  screen.table(
    ['NAME', 'MODEL', 'ENGINE', 'DESCRIPTION'],
    items.map(({ name, model, tier, engine, description }) => [
      name,
      oneLine(model ?? tier ?? ''),
      engine ?? '',
      oneLine(description ?? ''),
    ]),
  );
}

function show({ screen }: Session, { id, name, description, limits, ...profile }: Profile): void {
  const fields: readonly (readonly [string, string | null])[] = [
    ['id', id],
    ['description', description],
    ['tier', profile.tier],
    ['model', profile.model],
    ['engine', profile.engine],
    ['tools', profile.tools && (profile.tools.join(', ') || 'none')],
    ['time', limits.timeoutSeconds === null ? null : `${limits.timeoutSeconds} s at most`],
    ['turns', limits.maxTurns === null ? null : `${limits.maxTurns} at most`],
    ['budget', limits.budgetUsd === null ? null : `$${limits.budgetUsd.toFixed(2)}`],
  ];
  screen.line(screen.paint('bold', name));
  for (const [label, value] of fields) if (value) screen.line(`  ${screen.paint('dim', label.padEnd(11))} ${oneLine(value)}`);
  for (const [label, text] of [
    ['Prompt', profile.promptTemplate],
    ['Instructions', profile.instructions],
  ] as const) {
    if (!text) continue;
    screen.line();
    screen.line(screen.paint('bold', label));
    for (const line of block(text).trimEnd().split('\n')) screen.line(`  ${line}`);
  }
}
