import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { Unusable } from './domain/errors.ts';
import { logLevels } from './platform/log.ts';
import { withoutPassword } from './platform/url.ts';

/** Digits and nothing else: what coercion would make of `true`, `[80]` or a blank is not what anybody meant. */
const whole = (min: number, max: number) =>
  z
    .union([
      z.number(),
      z
        .string()
        .regex(/^\d{1,9}$/)
        .transform(Number),
    ])
    .pipe(z.int().min(min).max(max));
const url = (protocols: RegExp) => z.url({ protocol: protocols });
const word = z.string().regex(/^[a-z0-9-]{1,40}$/, 'lower-case letters, digits and dashes');

interface Setting {
  readonly env: string;
  readonly flag?: string;
  readonly schema: z.ZodType;
  /** What a bad value is answered with. */
  readonly allowed: string;
  readonly about: string;
  readonly secret?: true;
}

/** Every setting there is, once. The key is its name in nightshift.yaml. */
export const settings = {
  home: {
    env: 'NIGHTSHIFT_HOME',
    flag: '--home',
    schema: z.string().min(1),
    allowed: 'a directory',
    about: 'where Nightshift keeps its data',
  },
  host: { env: 'HOST', flag: '--host', schema: z.string().min(1), allowed: 'an address to listen on', about: 'address to listen on' },
  port: {
    env: 'PORT',
    flag: '--port',
    schema: whole(0, 65_535),
    allowed: 'a port from 0 to 65535 (0 picks a free one)',
    about: 'port to listen on',
  },
  databaseUrl: {
    env: 'DATABASE_URL',
    schema: url(/^postgres(ql)?$/),
    allowed: 'a postgres:// URL, or nothing for the embedded SQLite',
    about: 'PostgreSQL to use instead of SQLite',
    secret: true,
  },
  token: {
    env: 'NIGHTSHIFT_TOKEN',
    schema: z.string().regex(/^[\x21-\x7e]{16,512}$/),
    allowed: 'at least 16 printable characters without spaces',
    about: "the owner's API key",
    secret: true,
  },
  engine: {
    env: 'NIGHTSHIFT_ENGINE',
    flag: '--engine',
    schema: word,
    allowed: 'the name of an engine',
    about: 'engine of tasks that name none',
  },
  maxConcurrentRuns: {
    env: 'MAX_CONCURRENT_RUNS',
    flag: '--max-concurrent-runs',
    schema: whole(1, 1_000),
    allowed: 'a whole number from 1 to 1000',
    about: 'runs at the same time',
  },
  runTimeoutSeconds: {
    env: 'NIGHTSHIFT_RUN_TIMEOUT_SECONDS',
    schema: whole(1, 86_400),
    allowed: 'seconds from 1 to 86400',
    about: 'longest time one run may take',
  },
  drainSeconds: {
    env: 'NIGHTSHIFT_DRAIN_SECONDS',
    schema: whole(0, 86_400),
    allowed: 'seconds from 0 to 86400',
    about: 'how long a stop waits for runs to finish',
  },
  leaseSeconds: {
    env: 'NIGHTSHIFT_LEASE_SECONDS',
    schema: whole(1, 3_600),
    allowed: 'seconds from 1 to 3600',
    about: "silence after which a node's work is taken over",
  },
  logLevel: {
    env: 'LOG_LEVEL',
    flag: '--log-level',
    schema: z.enum(logLevels),
    allowed: logLevels.join(', '),
    about: 'how much is logged',
  },
  sandbox: {
    env: 'NIGHTSHIFT_SANDBOX',
    schema: z.enum(['auto', 'require', 'off']),
    allowed: 'auto (use it when present), require (refuse to work without), off',
    about: 'sandbox around agents and around what comes from repositories',
  },
  githubToken: {
    env: 'GITHUB_TOKEN',
    schema: z.string().min(1),
    allowed: 'a token',
    about: 'token for repositories on github.com',
    secret: true,
  },
  llmProvider: { env: 'LLM_PROVIDER', schema: word, allowed: 'claude or rehearsal', about: 'model provider' },
  llmApiKey: { env: 'LLM_API_KEY', schema: z.string().min(1), allowed: 'a key', about: 'key for the model provider', secret: true },
  llmBaseUrl: { env: 'LLM_BASE_URL', schema: url(/^https?$/), allowed: 'an http(s) URL', about: 'base URL of the model provider' },
  llmModel: { env: 'LLM_MODEL', schema: z.string().min(1), allowed: 'the name of a model', about: 'model to use' },
  rehearsalScript: {
    env: 'NIGHTSHIFT_REHEARSAL',
    schema: z.string().min(1),
    allowed: 'a file with a rehearsal script',
    about: 'script of the rehearsal provider, beside the built-in demo',
  },
} as const satisfies Record<string, Setting>;

export type SettingKey = keyof typeof settings;
const keys = Object.keys(settings) as SettingKey[];

export interface Config {
  readonly home: string;
  readonly host: string;
  readonly port: number;
  readonly databaseUrl: string | undefined;
  readonly token: string | undefined;
  readonly engine: string | undefined;
  readonly maxConcurrentRuns: number;
  readonly runTimeoutSeconds: number;
  readonly drainSeconds: number;
  readonly leaseSeconds: number;
  readonly logLevel: (typeof logLevels)[number];
  readonly sandbox: 'auto' | 'require' | 'off';
  readonly githubToken: string | undefined;
  readonly llmProvider: string | undefined;
  readonly llmApiKey: string | undefined;
  readonly llmBaseUrl: string | undefined;
  readonly llmModel: string | undefined;
  readonly rehearsalScript: string | undefined;
}

/** Where each value came from: `default`, `env PORT`, `flag --port`, or a file's path. */
export type Origins = Readonly<Record<SettingKey, string>>;

export interface ConfigInputs {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<Partial<Record<SettingKey, string | undefined>>>;
  readonly cwd: string;
}

interface Found {
  readonly value: unknown;
  readonly origin: string;
}

/** Default, then nightshift.yaml in the home, then the one in the working directory, then environment, then flags. */
export function loadConfig({ env, flags, cwd }: ConfigInputs): { readonly config: Config; readonly origins: Origins } {
  const here = readYaml(join(cwd, 'nightshift.yaml'));
  const outer = [fromFlags(flags), fromEnv(env), here];
  const asDirectory = (found: Found): string => resolve(cwd, expandHome(String(check('home', found))));
  const home = asDirectory(firstOf('home', outer) ?? { value: join(homedir(), '.nightshift'), origin: 'default' });
  const inHome = join(home, 'nightshift.yaml');
  const { home: moved, ...inner } = inHome === join(cwd, 'nightshift.yaml') ? {} : readYaml(inHome);
  if (moved && asDirectory(moved) !== home) {
    throw new Unusable(
      'bad-setting',
      `${inHome}: home cannot be ${JSON.stringify(moved.value)}, since this file was found in the home ${home}.`,
    );
  }
  const layers = [...outer, inner, defaults(home)];

  const config: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  for (const key of keys) {
    const found = firstOf(key, layers);
    config[key] = found === undefined ? undefined : check(key, found);
    origins[key] = found?.origin ?? 'not set';
  }
  config['home'] = home;
  return { config: Object.freeze(config) as unknown as Config, origins: origins as Origins };
}

/** The effective values as they may be shown. */
export function describeConfig(
  config: Config,
  origins: Origins,
): readonly { readonly key: SettingKey; readonly value: string; readonly origin: string; readonly env: string }[] {
  return keys.map((key) => ({ key, value: shown(key, config[key]), origin: origins[key], env: settings[key].env }));
}

function shown(key: SettingKey, value: unknown): string {
  if (value === undefined) return '';
  if (key === 'databaseUrl') return withoutPassword(String(value));
  return 'secret' in settings[key] ? '********' : String(value);
}

type Layer = Partial<Record<SettingKey, Found>>;

const firstOf = (key: SettingKey, layers: readonly Layer[]): Found | undefined => layers.find((layer) => layer[key] !== undefined)?.[key];

const defaults = (home: string): Layer => ({
  home: { value: home, origin: 'default' },
  host: { value: '127.0.0.1', origin: 'default' },
  port: { value: 8080, origin: 'default' },
  maxConcurrentRuns: { value: 2 * availableParallelism(), origin: 'default (two per core)' },
  runTimeoutSeconds: { value: 3_600, origin: 'default' },
  drainSeconds: { value: 30, origin: 'default' },
  leaseSeconds: { value: 30, origin: 'default' },
  logLevel: { value: 'info', origin: 'default' },
  sandbox: { value: 'auto', origin: 'default' },
});

function fromFlags(flags: ConfigInputs['flags']): Layer {
  return layerOf(
    (key) => flags[key],
    (key) => `flag ${(settings[key] as Setting).flag ?? key}`,
  );
}

/** An empty variable counts as absent: that is how compose files and units pass what is not set. */
function fromEnv(env: ConfigInputs['env']): Layer {
  return layerOf(
    (key) => env[settings[key].env] || undefined,
    (key) => `env ${settings[key].env}`,
  );
}

function layerOf(lookUp: (key: SettingKey) => unknown, originOf: (key: SettingKey) => string): Layer {
  const layer: Layer = {};
  for (const key of keys) {
    const value = lookUp(key);
    if (value !== undefined) layer[key] = { value, origin: originOf(key) };
  }
  return layer;
}

function readYaml(path: string): Layer {
  if (!existsSync(path)) return {};
  const content = parseYaml(path) ?? {};
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new Unusable('bad-config', `${path} must hold settings as "key: value" lines.`);
  }
  for (const key of Object.keys(content)) {
    if (!(keys as string[]).includes(key))
      throw new Unusable('unknown-setting', `${path}: unknown key "${key}"${suggestion(key)}. Known keys: ${keys.join(', ')}.`);
  }
  return layerOf(
    (key) => (content as Record<string, unknown>)[key] ?? undefined,
    () => path,
  );
}

function parseYaml(path: string): unknown {
  try {
    const document = parseDocument(readFileSync(path, 'utf8'));
    const [problem] = document.errors;
    if (problem) throw problem;
    return document.toJS();
  } catch (cause) {
    throw new Unusable('bad-config', `${path} cannot be read as YAML: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}

function check(key: SettingKey, { value, origin }: Found): unknown {
  const { schema, allowed, env } = settings[key];
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const quoted = 'secret' in settings[key] ? 'the given value' : JSON.stringify(value);
  throw new Unusable('bad-setting', `${key} (${env}) cannot be ${quoted} (from ${origin}). Allowed: ${allowed}.`);
}

function suggestion(unknown: string): string {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[^a-z]/g, '');
  const near = keys.find((key) => plain(key) === plain(unknown) || plain(settings[key].env) === plain(unknown));
  return near ? ` (did you mean ${near}?)` : '';
}

const expandHome = (path: string): string => (path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path);
