import { readFileSync, statSync } from 'node:fs';
import { Unusable } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';

/** The same array as long as nothing has changed. */
export type Secrets = () => readonly string[];

const filePrefix = 'file:';
/** A file is looked at this often at most, and only when somebody asks. */
const lookEveryMs = 1_000;

/**
 * Keys as a setting holds them: separated by commas, or `file:` and the path of a file that holds them and is read again
 * whenever it has changed. A file that cannot be read any more, or is empty, leaves the keys as they were: that is how
 * a file looks while it is being written. Throws `Unusable` when it cannot be read at first.
 */
export function secretsIn(value: string, variable: string, clock: Clock, warn: (message: string) => void): Secrets {
  if (!value.startsWith(filePrefix)) {
    const secrets = split(value, variable);
    return () => secrets;
  }
  const path = value.slice(filePrefix.length);
  const read = (): { readonly secrets: readonly string[]; readonly stamp: string } => {
    try {
      const stamp = stampOf(path);
      return { secrets: split(readFileSync(path, 'utf8'), variable), stamp };
    } catch (cause) {
      if (cause instanceof Unusable) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Unusable('bad-setting', `The file that ${variable} names cannot be read: ${why}.`, cause);
    }
  };
  let { secrets, stamp } = read();
  let lookedAt = clock.monotonic();
  return () => {
    if (clock.monotonic() - lookedAt < lookEveryMs) return secrets;
    lookedAt = clock.monotonic();
    try {
      const seen = stampOf(path);
      if (seen === stamp) return secrets;
      stamp = seen;
      ({ secrets } = read());
    } catch (error) {
      if (stamp !== 'trouble') warn(`${error instanceof Error ? error.message : String(error)} The keys stay as they were.`);
      stamp = 'trouble';
    }
    return secrets;
  };
}

/** Follows links, as the files of Docker and Kubernetes are swapped by one. */
function stampOf(path: string): string {
  const { ino, mtimeMs, size } = statSync(path);
  return `${ino} ${mtimeMs} ${size}`;
}

function split(text: string, variable: string): readonly string[] {
  const keys = [...new Set(text.split(/[\s,]+/).filter((key) => key !== ''))];
  if (keys.length === 0) throw new Unusable('bad-setting', `${variable} holds no key.`);
  if (keys.some((key) => !/^[\x21-\x7e]{1,1000}$/.test(key))) {
    throw new Unusable('bad-setting', `${variable} holds a key with characters that no key has. Was it copied whole?`);
  }
  return keys;
}
