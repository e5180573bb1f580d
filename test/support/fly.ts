import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FlyIoConfigSchemaFlyToml } from '@schemastore/fly';
import { parse } from 'smol-toml';

/** What is named there, and nothing else: the schema lets pass whatever it does not know, a slip of the pen too. */
type Named<T> = T extends readonly (infer Each)[]
  ? readonly Named<Each>[]
  : T extends object
    ? [keyof OnlyNamed<T>] extends [never]
      ? T
      : OnlyNamed<T>
    : T;
type OnlyNamed<T> = { readonly [K in keyof T as string extends K ? never : K]: Named<T[K]> };

/**
 * A fly.toml as SchemaStore has it, which editors go by. Fly's own program asks its servers. What is written below takes it.
 * @public
 */
export type FlyFile = Named<FlyIoConfigSchemaFlyToml>;

/** What TypeScript finds wrong with a fly.toml, or nothing. */
export function faultsOfFly(toml: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'nightshift-fly-'));
  try {
    const types = JSON.stringify(fileURLToPath(import.meta.url));
    const file = join(directory, 'fly.ts');
    writeFileSync(
      file,
      `import type { FlyFile } from ${types};\nexport const file: FlyFile = ${JSON.stringify(parse(toml), undefined, 2)};\n`,
    );
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--allowImportingTsExtensions', '--module', 'nodenext', '--types', 'node'];
    const roots = ['--typeRoots', fileURLToPath(new URL('../../node_modules/@types', import.meta.url))];
    const tsc = fileURLToPath(new URL('../../node_modules/.bin/tsc', import.meta.url));
    return spawnSync(tsc, [...options, ...roots, file], { cwd: directory, encoding: 'utf8' }).stdout;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
