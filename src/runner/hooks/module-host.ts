import { writeSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

/** The program that a module hook runs in. What the module prints goes to standard error; standard output is for the answer. */
process.stdout.write = process.stderr.write.bind(process.stderr);

const module = process.argv[2] as string;
const longest = 2_000;
/** Of a whole answer: an input for a tool may hold a file. */
const longestAnswer = 900_000;

const answer = await ask().catch((error: unknown) => ({ error: shortened(error instanceof Error ? error.message : error) }));
say(`\n${JSON.stringify(answer)}\n`);
// Timers and connections that the module left open would keep it alive.
process.exit(0);

/** All of it, also when the pipe is full for the moment. */
function say(text: string): void {
  const bytes = Buffer.from(text.length > longestAnswer ? `\n{"error":"Its answer has more than ${longestAnswer} characters."}\n` : text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

async function ask(): Promise<object> {
  const facts: unknown = JSON.parse(await text(process.stdin));
  const { default: hook } = (await import(pathToFileURL(module).href)) as { default?: unknown };
  if (typeof hook !== 'function') return { error: `${module} has no function as its default export.` };
  const given: unknown = await hook(facts);
  if (given === undefined || typeof given === 'boolean') return { allow: given ?? true };
  const { allow, reason, input } = (typeof given === 'object' && given !== null ? given : {}) as Record<string, unknown>;
  if (typeof allow !== 'boolean') return { error: `${module} answered neither true nor false nor {allow, reason}.` };
  return { allow, ...(reason === undefined ? {} : { reason: shortened(reason) }), ...(input === undefined ? {} : { input }) };
}

function shortened(value: unknown): string {
  return String(value).slice(0, longest);
}
