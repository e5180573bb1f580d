import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { Unusable } from '../domain/errors.ts';
import { withoutPassword } from '../platform/url.ts';
import { type Config, settingKeys as keys, type SettingKey, settingOf } from './settings.ts';

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
  const home = asDirectory(firstOf('home', [...outer, defaults]) as Found);
  const inHome = join(home, 'nightshift.yaml');
  const { home: moved, ...inner } = inHome === join(cwd, 'nightshift.yaml') ? {} : readYaml(inHome);
  if (moved && asDirectory(moved) !== home) {
    throw new Unusable(
      'bad-setting',
      `${inHome}: home cannot be ${JSON.stringify(moved.value)}, since this file was found in the home ${home}.`,
    );
  }
  const layers = [...outer, inner, defaults];

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
  return keys.map((key) => ({ key, value: shown(key, config[key]), origin: origins[key], env: settingOf(key).env ?? '' }));
}

function shown(key: SettingKey, value: unknown): string {
  if (value === undefined) return '';
  if (key === 'databaseUrl') return withoutPassword(String(value));
  if (settingOf(key).secret) return '********';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

type Layer = Partial<Record<SettingKey, Found>>;

const firstOf = (key: SettingKey, layers: readonly Layer[]): Found | undefined => layers.find((layer) => layer[key] !== undefined)?.[key];

const defaults: Layer = Object.fromEntries(
  keys.flatMap((key) => {
    const { default: value, defaultIs } = settingOf(key);
    return value === undefined ? [] : [[key, { value, origin: defaultIs === undefined ? 'default' : `default (${defaultIs})` }]];
  }),
);

function fromFlags(flags: ConfigInputs['flags']): Layer {
  return layerOf(
    (key) => flags[key],
    (key) => `flag ${settingOf(key).flag ?? key}`,
  );
}

/** An empty variable counts as absent: that is how compose files and units pass what is not set. */
function fromEnv(env: ConfigInputs['env']): Layer {
  return layerOf(
    (key) => env[settingOf(key).env ?? ''] || undefined,
    (key) => `env ${settingOf(key).env}`,
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
  const { schema, allowed, env, secret, locate } = settingOf(key);
  const parsed = schema.safeParse(value);
  if (parsed.success) return locate?.(parsed.data as never, (path) => resolve(dirname(origin), expandHome(path))) ?? parsed.data;
  if (env === undefined) throw new Unusable('bad-setting', `${origin}: ${key}${whatIsWrong(parsed.error)}. Allowed: ${allowed}.`);
  const quoted = secret ? 'the given value' : JSON.stringify(value);
  throw new Unusable('bad-setting', `${key} (${env}) cannot be ${quoted} (from ${origin}). Allowed: ${allowed}.`);
}

/** The first thing that is wrong inside a structure, with the way to it: `[0].command: …`. */
function whatIsWrong({ issues: [issue] }: z.ZodError): string {
  const path = issue?.path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('') ?? '';
  return `${path}: ${issue?.message ?? 'not understood'}`;
}

function suggestion(unknown: string): string {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[^a-z]/g, '');
  const near = keys.find((key) => plain(key) === plain(unknown) || plain(settingOf(key).env ?? key) === plain(unknown));
  return near ? ` (did you mean ${near}?)` : '';
}

const expandHome = (path: string): string => (path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path);
