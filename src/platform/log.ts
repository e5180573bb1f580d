import { appendFileSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import pino from 'pino';

export type Log = pino.Logger;

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Field names whose values never reach a log, wherever they stand in the first two levels. */
const secretFields = ['token', 'apiKey', 'apikey', 'api_key', 'password', 'secret', 'authorization', 'cookie', 'privateKey', 'databaseUrl'];

export interface LogTarget {
  write(line: string): void;
}

export function createLog(level: LogLevel, targets: readonly LogTarget[]): Log {
  return pino(
    {
      level,
      base: {},
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: plainError },
      redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '[secret]' },
    },
    {
      write(line) {
        for (const target of targets) target.write(line);
      },
    },
  );
}

export const silentLog = createLog('silent', []);

/** Messages and codes of an error and its causes, and the stack of defects. Database drivers hang queries and their parameters on errors; those stay out. */
function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, stack, cause } = error;
  const code = 'code' in error ? error.code : undefined;
  return { name, message, ...(code === undefined ? { stack } : { code }), ...(cause === undefined ? {} : { cause: plainError(cause) }) };
}

/**
 * A log file that keeps itself small: at `maxBytes`, or when it is `keepMs` old, it is set aside under the time of that
 * moment, and what was last written to longer than `keepMs` ago is removed. Lines are on their way to the disk when `write` returns, so a crash loses none.
 * A disk that refuses a line must not stop the work: the line is dropped and counted.
 */
export function rotatingFile(
  path: string,
  now: () => number,
  maxBytes = 10 * 1024 * 1024,
  keepMs = 7 * 86_400_000,
): LogTarget & { readonly dropped: () => number } {
  mkdirSync(dirname(path), { recursive: true });
  let size = sizeOf(path);
  let begunAt = size > 0 ? statSync(path).birthtimeMs : now();
  let dropped = 0;
  const rotate = (): void => {
    const stamp = new Date(now()).toISOString().replaceAll(/[:.]/g, '-');
    renameSync(path, `${path}.${stamp}`);
    size = 0;
    begunAt = now();
    removeOld();
  };
  const removeOld = (): void => {
    const old = readdirSync(dirname(path)).filter((name) => name.startsWith(`${basename(path)}.`));
    for (const name of old) {
      const file = join(dirname(path), name);
      if (statSync(file).mtimeMs < now() - keepMs) rmSync(file, { force: true });
    }
  };
  removeOld();
  return {
    write(line) {
      try {
        const bytes = Buffer.byteLength(line);
        if (size > 0 && (size + bytes > maxBytes || now() - begunAt > keepMs)) rotate();
        appendFileSync(path, line, { mode: 0o600 });
        size += bytes;
      } catch {
        dropped += 1; // nowhere to report it but here: the log itself is what failed
      }
    },
    dropped: () => dropped,
  };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

const colours: Record<string, string> = { fatal: '31', error: '31', warn: '33', info: '36', debug: '90', trace: '90' };

/** For eyes on a terminal: time, level, message, then the fields that matter. */
export function prettyTarget(out: { write(text: string): unknown }): LogTarget {
  return {
    write(line) {
      const { time, level, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
      const details = Object.entries(fields).map(
        ([key, value]) => `${key}=${typeof value === 'string' ? harmless(value) : JSON.stringify(value)}`,
      );
      if (err && typeof err === 'object' && 'message' in err) details.push(`\n    ${harmless(String(err.message))}`);
      const clock = String(time).slice(11, 19);
      out.write(
        `\x1b[90m${clock}\x1b[0m \x1b[${colours[String(level)] ?? '0'}m${String(level).padEnd(5)}\x1b[0m ${harmless(String(msg))} \x1b[90m${details.join(' ')}\x1b[0m\n`,
      );
    },
  };
}

/** Text from outside must not move the cursor, ring or recolour. */
const harmless = (text: string): string => text.replaceAll(/\p{Cc}/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

export const lineTarget = (out: { write(text: string): unknown }): LogTarget => ({ write: (line) => void out.write(line) });
