import { fileURLToPath } from 'node:url';
import { ask, type ProgramParts } from './command.ts';
import type { Hook, HookAnswer } from './hook.ts';

const host = fileURLToPath(new URL('./module-host.ts', import.meta.url));

/**
 * A module whose default export is asked: `(facts) => answer`. It runs in a process of its own, because one that loops for
 * ever could not be stopped in ours.
 */
export function moduleHook({ module, ...hook }: Omit<Hook, 'run'> & { readonly module: string }, parts: ProgramParts): Hook {
  return {
    ...hook,
    async run(facts, signal) {
      const { exit, document, said } = await ask(hook.id, [process.execPath, host, module], facts, parts, signal);
      if (typeof document?.['error'] === 'string') throw new Error(document['error']);
      // The host always answers; when it did not, the module ended the process before that.
      if (exit.code !== 0 || !document) throw new Error(`${module} ended without an answer. ${said}`);
      return document as unknown as HookAnswer;
    },
  };
}
