import { type FileHandle, open } from 'node:fs/promises';
import { done, type Result } from './failure.ts';
import type { Git } from './git.ts';

type ChangeKind = 'added' | 'modified' | 'deleted' | 'renamed' | 'copied' | 'type-changed';

export interface ChangedFile {
  readonly path: string;
  /** Before a rename or copy. */
  readonly from?: string;
  readonly kind: ChangeKind;
  /** Lines; null for what has none. */
  readonly additions: number | null;
  readonly deletions: number | null;
  readonly binary: boolean;
  /** As git writes them: 100644, 100755 (executable), 120000 (link), 160000 (submodule), 000000 (absent). */
  readonly oldMode: string;
  readonly newMode: string;
}

export interface Diff {
  readonly files: readonly ChangedFile[];
  readonly additions: number;
  readonly deletions: number;
  /** The patch, up to the limit and to a whole line. */
  readonly patch: string;
  readonly truncated: boolean;
  /** Bytes of the whole patch, as far as it was written to the file. */
  readonly patchBytes: number;
  /** The file holds less than all: even that has an end. */
  readonly fileTruncated: boolean;
}

export interface DiffWish {
  readonly gitDir: string;
  readonly from: string;
  readonly to: string;
  /** Where the whole patch goes, binary contents included, so that it can be applied. */
  readonly patchFile: string;
  readonly previewBytes?: number;
  readonly fileBytes?: number;
}

const defaultPreview = 256 * 1024;
const defaultFile = 256 * 1024 * 1024;

/**
 * What lies between two commits or trees. No workspace is looked at, so neither are the attributes in one: an agent cannot
 * hide a change by declaring it binary, nor have a program run to show it.
 */
export async function diff(git: Git, wish: DiffWish, signal: AbortSignal): Promise<Result<Diff>> {
  const files = await changedFiles(git, wish, signal);
  if (!files.ok) return files;
  const preview: Buffer[] = [];
  const previewBytes = wish.previewBytes ?? defaultPreview;
  const fileBytes = wish.fileBytes ?? defaultFile;
  let size = 0;
  let kept = 0;
  let file: FileHandle | undefined;
  try {
    file = await open(wish.patchFile, 'w', 0o600);
    const target = file;
    const written = await git.stream(
      { gitDir: wish.gitDir, args: ['diff-tree', '-p', '--binary', ...options, wish.from, wish.to] },
      async (piece) => {
        if (kept < previewBytes) preview.push(piece.subarray(0, previewBytes - kept));
        kept = Math.min(previewBytes, kept + piece.length);
        const room = piece.subarray(0, Math.max(0, fileBytes - size));
        await target.writeFile(room);
        size += room.length;
        return room.length === piece.length;
      },
      signal,
    );
    if (!written.ok) return written;
  } finally {
    await file?.close();
  }
  const fileTruncated = size >= fileBytes;
  const truncated = size > kept || fileTruncated;
  const text = Buffer.concat(preview).toString();
  return done({
    files: files.value,
    additions: sum(files.value.map(({ additions }) => additions)),
    deletions: sum(files.value.map(({ deletions }) => deletions)),
    patch: truncated ? text.slice(0, text.lastIndexOf('\n') + 1) : text,
    truncated,
    patchBytes: size,
    fileTruncated,
  });
}

/** Just the list: what `git status` would say about a snapshot. */
export async function changedFiles(
  git: Git,
  { gitDir, from, to }: Pick<DiffWish, 'gitDir' | 'from' | 'to'>,
  signal: AbortSignal,
): Promise<Result<readonly ChangedFile[]>> {
  const listed = await git.run({ gitDir, args: ['diff-tree', '-z', '--raw', '--numstat', ...options, from, to] }, signal);
  return listed.ok ? done(parseRawAndNumstat(listed.value.stdout)) : listed;
}

const options = [
  '-r',
  '--find-renames',
  '-l1000',
  '--full-index',
  '--no-color',
  '--no-ext-diff',
  '--no-textconv',
  '--submodule=short',
  '--src-prefix=a/',
  '--dst-prefix=b/',
  '--end-of-options',
];

const kinds: Readonly<Record<string, ChangeKind>> = {
  A: 'added',
  M: 'modified',
  D: 'deleted',
  R: 'renamed',
  C: 'copied',
  T: 'type-changed',
};

/** `:100644 100755 <oid> <oid> R90\0old\0new\0` for each file, then `12\t3\t\0old\0new\0` or `12\t3\tpath\0` for each. */
function parseRawAndNumstat(output: string): readonly ChangedFile[] {
  const fields = output.split('\0');
  const files = new Map<string, ChangedFile>();
  let at = 0;
  const next = (): string => fields[at++] ?? '';
  while (fields[at]?.startsWith(':')) {
    const [oldMode = '', newMode = '', , , letter = ''] = next().slice(1).split(' ');
    const kind = kinds[letter.charAt(0)] ?? 'modified';
    const first = next();
    const moved = kind === 'renamed' || kind === 'copied';
    const path = moved ? next() : first;
    files.set(path, { path, ...(moved ? { from: first } : {}), kind, additions: null, deletions: null, binary: false, oldMode, newMode });
  }
  while (at < fields.length && fields[at] !== '') {
    const [added = '-', removed = '-', ...rest] = next().split('\t');
    let path = rest.join('\t');
    if (path === '') {
      next();
      path = next();
    }
    const file = files.get(path);
    const binary = added === '-';
    if (file) files.set(path, { ...file, binary, additions: binary ? null : Number(added), deletions: binary ? null : Number(removed) });
  }
  return [...files.values()];
}

const sum = (counts: readonly (number | null)[]): number => counts.reduce<number>((total, count) => total + (count ?? 0), 0);
