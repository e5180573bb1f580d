import { accessSync, constants, statSync } from 'node:fs';
import { Unusable } from '../../domain/errors.ts';
import { commandHook, type ProgramParts } from './command.ts';
import type { Hook } from './hook.ts';
import { moduleHook } from './module.ts';

/** As nightshift.yaml has it, with absolute paths. */
export type ConfiguredHook = Pick<Hook, 'id' | 'on' | 'tools' | 'required' | 'wait'> & { readonly timeoutSeconds: number } & (
    | { readonly command: readonly string[] }
    | { readonly module: string }
  );

/** Throws `Unusable` for a file that is not there, so that the server does not start and then refuse every run. */
export function configuredHooks(configured: readonly ConfiguredHook[], parts: ProgramParts): readonly Hook[] {
  return configured.map(({ timeoutSeconds, ...hook }) => {
    const timeoutMs = timeoutSeconds * 1_000;
    if ('module' in hook) {
      requireFile(hook.id, hook.module, constants.R_OK);
      return moduleHook({ ...hook, timeoutMs }, parts);
    }
    const { command: argv, ...rest } = hook;
    const [program = ''] = argv;
    if (program.includes('/')) requireFile(hook.id, program, constants.X_OK);
    return commandHook({ ...rest, timeoutMs, argv }, parts);
  });
}

function requireFile(id: string, path: string, mode: number): void {
  try {
    accessSync(path, mode);
    if (!statSync(path).isFile()) throw new Error('it is not a file');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Unusable(
      'bad-hook',
      `The hook ${id} cannot be used: ${path}: ${why}. Correct or remove it under hooks in nightshift.yaml.`,
      cause,
    );
  }
}
