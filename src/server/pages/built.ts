import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What a build leaves in `web/dist/build.json`: every file that may be asked for, and nothing else is ever looked up on the disk. */
export interface Built {
  readonly fingerprint: string;
  readonly files: Readonly<Record<string, BuiltFile>>;
}

export interface BuiltFile {
  readonly type: string;
  readonly etag: string;
  /** Its name holds a digest of its content, so it never changes. */
  readonly immutable: boolean;
  /** How it lies there compressed as well: `.br` and `.gz` beside it. */
  readonly compressed: boolean;
}

/** The build that is there, or undefined. A half-written one cannot be: builds are renamed into place whole. */
export async function readBuilt(dist: string): Promise<Built | undefined> {
  try {
    return JSON.parse(await readFile(join(dist, 'build.json'), 'utf8')) as Built;
  } catch {
    return undefined;
  }
}
