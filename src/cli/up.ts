import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { loadConfig } from '../config/config.ts';
import { type Config, settings } from '../config/settings.ts';
import { prepareHome } from '../home.ts';
import { type RunningServer, startServer, version } from '../main.ts';
import { createLog, type Log, lineTarget, prettyTarget, rotatingFile } from '../platform/log.ts';
import { giveBackAtRest } from '../platform/spare-memory.ts';
import { type Exit, exits } from './failure.ts';
import { type Define, examples, type JsonFlag, type Session } from './session.ts';
import { hasColours, type Terminal } from './terminal.ts';

type Flags = JsonFlag & Parameters<typeof loadConfig>[0]['flags'];

export const define: Define = (command, session) => {
  for (const setting of Object.values(settings)) {
    if ('flag' in setting) command.option(`${setting.flag} <value>`, `${setting.about}: ${setting.allowed} (${setting.env})`);
  }
  examples(command.option('--json', 'log as JSON, also on a terminal'), 'nightshift up', 'nightshift up --port 0 --home /srv/nightshift')
    .addHelpText(
      'after',
      `
Settings come from the options, the environment, nightshift.yaml in the working directory and in the home, in this
order; \`nightshift config\` shows the outcome. The log also goes to logs/nightshift.log in the home.

SIGTERM or Ctrl-C: starts nothing more, waits for the runs and stops. Again: gives running work back and stops. A third
time: stops at once; the next start takes care of what was running.`,
    )
    .action(async ({ json, ...flags }: Flags) => session.end(await up(session, flags, json === true)));
};

/** Runs the server until a signal ends it. */
async function up({ terminal }: Session, flags: Parameters<typeof loadConfig>[0]['flags'], json: boolean): Promise<Exit> {
  const { config } = loadConfig({ env: terminal.env, flags, cwd: terminal.cwd });
  prepareHome(config.home);
  const pretty = terminal.stdout.isTTY === true && !json;
  const log = createLog(config.logLevel, [
    pretty ? prettyTarget(colourless(terminal)) : lineTarget(terminal.stdout),
    rotatingFile(join(config.home, 'logs', 'nightshift.log'), () => terminal.clock.now()),
  ]);
  dieOnDefects(log);
  surviveClosedOutput();

  const signals = createSignals(terminal);
  const server = await startServer(config, log);
  if (pretty) terminal.stdout.write(banner(config, server));
  else
    log.info({ dashboard: server.address, login: loginLine(config, server.address), docs: `${server.address}/api/docs` }, 'how to log in');
  const dropPages = terminal.clock.after(preparePagesAfterMs, () => server.preparePages());
  const keepMemory = giveBackAtRest(terminal.clock);
  await signals.next();
  keepMemory();
  dropPages();
  return stop(server, signals, log);
}

/** A build of the dashboard is not to compete with the start; who visits sooner does not wait for this. */
const preparePagesAfterMs = 1_500;

async function stop(server: RunningServer, signals: Signals, log: Log): Promise<Exit> {
  const hurry = new AbortController();
  void signals
    .next()
    .then(() => {
      log.warn('a second signal: running work is given back at once');
      hurry.abort();
      return signals.next();
    })
    .then(() => {
      log.warn('a third signal: stopping as it is');
      process.exit(exits.failed);
    });
  try {
    await server.stop(hurry.signal);
    return exits.ok;
  } catch (error) {
    log.fatal({ err: error }, 'could not stop cleanly');
    return exits.failed;
  }
}

interface Signals {
  /** Resolves with the next request to stop; one that came before the call counts. */
  next(): Promise<void>;
}

/** A launcher or npm passes on what the terminal's process group or the service manager has delivered to us as well. */
const echoMs = 100;

function createSignals({ clock, env }: Pick<Terminal, 'clock' | 'env'>): Signals {
  const relayed = env['npm_lifecycle_event'] !== undefined || env['NIGHTSHIFT_LAUNCHER'] === String(process.ppid);
  let pending = 0;
  let waiting: (() => void) | undefined;
  let last = Number.NEGATIVE_INFINITY;
  const onSignal = (signal: NodeJS.Signals): void => {
    const now = clock.monotonic();
    const echo = (relayed || signal === 'SIGINT') && now - last < echoMs;
    last = now;
    if (echo) return;
    pending += 1;
    waiting?.();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return {
    async next() {
      if (pending === 0) {
        await new Promise<void>((resolve) => {
          waiting = resolve;
        });
      }
      waiting = undefined;
      pending -= 1;
    },
  };
}

/** After a defect nobody knows what state things are in; the next start finds everything that was promised on the disk. */
function dieOnDefects(log: Log): void {
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ err: error }, origin === 'unhandledRejection' ? 'a defect: unhandled rejection' : 'a defect: uncaught exception');
    process.exit(exits.failed);
  });
}

/** The terminal or the pipe that we log to may go away; the log file in the home goes on. */
function surviveClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners('error');
    stream.on('error', () => undefined);
  }
}

function colourless({ stdout, env }: Pick<Terminal, 'stdout' | 'env'>): Parameters<typeof prettyTarget>[0] {
  return hasColours(stdout, env) ? stdout : { write: (text) => stdout.write(stripVTControlCharacters(text)) };
}

/** The link is worth nothing once it was used or a quarter of an hour has passed, so a terminal may show it; a log may not. */
const banner = (config: Config, { address, loginLink }: RunningServer): string => `
  Nightshift ${version} is up at ${address}

  Open     ${loginLink()}   (works once; \`nightshift token link\` prints another)
  API      ${address}/api/docs
           ${loginLine(config, address)}
  Home     ${config.home}
  Stop     Ctrl-C

`;

/** Names the key, never shows it: a terminal's history and a log are read by others. */
function loginLine({ home, token }: Config, address: string): string {
  const key = token === undefined ? `$(cat ${shellQuoted(join(home, 'token'))})` : '$NIGHTSHIFT_TOKEN';
  return `curl -H "Authorization: Bearer ${key}" ${address}/api/tasks`;
}

const shellQuoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
