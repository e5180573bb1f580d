import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseScript, type Script } from './script.ts';

const folder = new URL('../../../demo/', import.meta.url);

/** A small repository with one failing test. It is to be copied before anyone works in it. */
export const sampleRepository = fileURLToPath(new URL('repository/', folder));

/** The script that fixes the sample repository. */
export function demoScript(): Script {
  const file = fileURLToPath(new URL('rehearsal.yaml', folder));
  return parseScript(readFileSync(file, 'utf8'), file);
}
