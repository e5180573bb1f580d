import type { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import type { Config } from '../config/settings.ts';
import { readToken, whereaboutsIn } from '../home.ts';
import { type Client, createClient } from './client.ts';
import { exits, Failure, misused } from './failure.ts';
import { type JsonFlag, jsonFlag, type Session } from './session.ts';

export interface ClientFlags extends JsonFlag {
  readonly url?: string;
  readonly home?: string;
  readonly timeout?: string;
}

/** The options of every command that talks to a server. */
export const clientFlags = (command: Command): Command =>
  jsonFlag(command)
    .option('--url <url>', 'address of the server (NIGHTSHIFT_URL; default: the one that runs on this home)')
    .option('--home <directory>', 'home of the server (NIGHTSHIFT_HOME)')
    .option('--timeout <seconds>', 'how long to wait for an answer (default: 30)');

export function loadSettings(flags: { readonly home?: string }, { terminal }: Session): ReturnType<typeof loadConfig> {
  return loadConfig({ env: terminal.env, flags: { home: flags.home }, cwd: terminal.cwd });
}

/** Finds the server and its key anew at each call: a restart may have moved it, a rotation may have changed the key. */
export function connect(flags: ClientFlags, session: Session): Client {
  const { config } = loadSettings(flags, session);
  return createClient({
    ...addressOf(flags, session, config),
    key: keyOf(config),
    keyOrigin: config.token === undefined ? `the file token in ${config.home}` : 'NIGHTSHIFT_TOKEN or the settings',
    timeoutMs: secondsOf(flags.timeout) * 1_000,
  });
}

export function addressOf(
  flags: Pick<ClientFlags, 'url'>,
  { terminal }: Session,
  config: Config,
): { readonly address: string; readonly origin: string } {
  if (flags.url !== undefined) return { address: checked(flags.url, '--url'), origin: 'from --url' };
  const fromEnv = terminal.env['NIGHTSHIFT_URL'];
  if (fromEnv) return { address: checked(fromEnv, 'NIGHTSHIFT_URL'), origin: 'from NIGHTSHIFT_URL' };
  const announced = whereaboutsIn(config.home)?.address;
  if (announced !== undefined) return { address: reachable(announced), origin: `announced in ${config.home}` };
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;
  return { address: reachable(`http://${host}:${config.port}`), origin: 'from the settings' };
}

function checked(given: string, from: string): string {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  throw misused(`${from} must be an http:// or https:// address, not ${JSON.stringify(given)}.`);
}

/** "All addresses" is for listening; this machine is where to knock. */
const reachable = (address: string): string => address.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');

function keyOf({ home, token }: Config): string | undefined {
  let key: string | undefined;
  try {
    key = readToken(home, token) || undefined;
  } catch (cause) {
    throw unreadable(home, cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (key === undefined || /^[\x21-\x7e]+$/.test(key)) return key;
  throw unreadable(home, 'the file token does not hold a key');
}

const unreadable = (home: string, why: string, cause?: unknown): Failure =>
  new Failure(
    exits.keyRefused,
    'key-unreadable',
    `The API key in ${home} cannot be read: ${why}. Run this as the server's user, or set NIGHTSHIFT_TOKEN.`,
    {},
    cause,
  );

function secondsOf(text = '30'): number {
  const seconds = Number(text);
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw misused(`--timeout must be a number of seconds, not ${JSON.stringify(text)}.`);
}
