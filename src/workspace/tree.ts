import { done, type Result } from './failure.ts';
import type { Git } from './git.ts';

/** Files of a commit or tree as git holds them: no link in it leads anywhere. */
export interface Tree {
  /** Undefined when there is no such file, or when it is longer than the limit. */
  read(path: string): Promise<string | undefined>;
}

const longestFile = 1024 * 1024;

export async function openTree(git: Git, gitDir: string, revision: string, signal: AbortSignal): Promise<Result<Tree>> {
  const listed = await git.run({ gitDir, args: ['ls-tree', '-z', '--name-only', '--end-of-options', revision] }, signal);
  if (!listed.ok) return listed;
  const names = new Set(listed.value.stdout.split('\0'));
  const known = new Map<string, Promise<string | undefined>>();

  const read = async (path: string): Promise<string | undefined> => {
    if (!names.has(path.split('/')[0] as string)) return undefined;
    const pieces: Buffer[] = [];
    let size = 0;
    const found = await git.stream(
      { gitDir, args: ['cat-file', 'blob', `${revision}:${path}`], answers: [0, 128] },
      async (piece) => {
        size += piece.length;
        pieces.push(piece);
        return size <= longestFile;
      },
      signal,
    );
    return found.ok && found.value.code === 0 && size <= longestFile ? Buffer.concat(pieces).toString() : undefined;
  };

  return done({
    read(path) {
      const asked = known.get(path) ?? read(path);
      known.set(path, asked);
      return asked;
    },
  });
}
