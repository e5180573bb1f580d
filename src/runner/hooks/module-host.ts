import { writeSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

/** The program that a module hook runs in. What the module prints goes to standard error; standard output is for the answer. */
process.stdout.write = process.stderr.write.bind(process.stderr);

const module = process.argv[2] as string;
/** What fits into a pipe at once, however much the module has to say. */
const longest = 2_000;

const answer = await ask().catch((error: unknown) => ({ error: shortened(error instanceof Error ? error.message : error) }));
writeSync(1, `\n${JSON.stringify(answer)}\n`);
// Timers and connections that the module left open would keep it alive.
process.exit(0);

async function ask(): Promise<object> {
  const facts: unknown = JSON.parse(await text(process.stdin));
  const { default: hook } = (await import(pathToFileURL(module).href)) as { default?: unknown };
  if (typeof hook !== 'function') return { error: `${module} has no function as its default export.` };
  const given: unknown = await hook(facts);
  if (given === undefined || typeof given === 'boolean') return { allow: given ?? true };
  const { allow, reason } = (typeof given === 'object' && given !== null ? given : {}) as { allow?: unknown; reason?: unknown };
  if (typeof allow !== 'boolean') return { error: `${module} answered neither true nor false nor {allow, reason}.` };
  return { allow, ...(reason === undefined ? {} : { reason: shortened(reason) }) };
}

function shortened(value: unknown): string {
  return String(value).slice(0, longest);
}
