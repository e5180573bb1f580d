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

export interface ChangedLine {
  readonly path: string;
  readonly kind: 'added' | 'removed';
  /** In the file as it is now; of a removed line, as it was. */
  readonly line: number;
  readonly text: string;
}

interface LinesWish extends Pick<DiffWish, 'gitDir' | 'from' | 'to'> {
  readonly maxLines: number;
  readonly maxBytes: number;
}

/** Longer lines are nothing that a person wrote. */
const longestLine = 4_096;

/** Every line that was added or removed, also in files that look binary, up to the limits; no line is longer than 4 KB. */
export async function changedLines(
  git: Git,
  { gitDir, from, to, maxLines, maxBytes }: LinesWish,
  signal: AbortSignal,
): Promise<Result<{ readonly lines: readonly ChangedLine[]; readonly truncated: boolean }>> {
  const lines: ChangedLine[] = [];
  const reader = patchReader((line) => void lines.push(line));
  let size = 0;
  const full = (): boolean => lines.length >= maxLines || size >= maxBytes;
  const read = await git.stream(
    { gitDir, args: ['diff-tree', '-p', '--text', '--unified=0', ...options, from, to] },
    async (piece) => {
      size += piece.length;
      reader.take(piece.toString('latin1'));
      return !full();
    },
    signal,
  );
  if (!read.ok) return read;
  reader.end();
  return done({ lines: lines.slice(0, maxLines), truncated: full() });
}

/** So much of a piece of a long line stands in the next one again. */
const overlap = 1_024;

/**
 * Every line that was added, however many there are, and nothing of it is held. A long one comes in pieces which overlap, so
 * that what is looked for stands in one of them as a whole.
 */
export async function eachAddedLine(
  git: Git,
  { gitDir, from, to }: Pick<DiffWish, 'gitDir' | 'from' | 'to'>,
  look: (line: ChangedLine) => void,
  signal: AbortSignal,
): Promise<Result<void>> {
  const reader = patchReader((line) => line.kind === 'added' && look(line), true);
  const args = ['diff-tree', '-p', '--text', '--unified=0', '--diff-filter=d', ...options, from, to];
  const take = async (piece: Buffer): Promise<true> => {
    reader.take(piece.toString('latin1'));
    return true;
  };
  const read = await git.stream({ gitDir, args }, take, signal);
  if (!read.ok) return read;
  reader.end();
  return done(undefined);
}

/** Reads a patch without context line by line, however it was cut into pieces. Bytes come as characters. */
function patchReader(found: (line: ChangedLine) => void, inPieces = false): { take(piece: string): void; end(): void } {
  let rest = '';
  let path = '';
  let [removedAt, addedAt] = [0, 0];
  /** Lines of the present hunk that are still to come: only outside of hunks does a line say something about the patch. */
  let [removedLeft, addedLeft] = [0, 0];

  const see = (line: string): void => {
    const text = (): string => utf8(line.slice(1));
    if (removedLeft > 0 && line.startsWith('-')) {
      removedLeft -= 1;
      found({ path, kind: 'removed', line: removedAt++, text: text() });
    } else if (addedLeft > 0 && line.startsWith('+')) {
      addedLeft -= 1;
      found({ path, kind: 'added', line: addedAt++, text: text() });
    } else seeHead(line);
  };

  /** A line that is as long as that, up to where the next piece begins; what is left of it is short. */
  const shorten = (line: string): string => {
    if (!inPieces || addedLeft === 0 || !line.startsWith('+')) return line.slice(0, longestLine);
    let left = line;
    while (left.length > longestLine) {
      found({ path, kind: 'added', line: addedAt, text: utf8(left.slice(1, longestLine)) });
      left = `+${left.slice(longestLine - overlap)}`;
    }
    return left;
  };

  const seeHead = (line: string): void => {
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(line);
    if (hunk) {
      [removedAt, addedAt] = [Number(hunk[1]), Number(hunk[3])];
      [removedLeft, addedLeft] = [Number(hunk[2] ?? 1), Number(hunk[4] ?? 1)];
    } else if (line.startsWith('--- ') && line !== '--- /dev/null') path = named(line.slice(4));
    else if (line.startsWith('+++ ') && line !== '+++ /dev/null') path = named(line.slice(4));
  };

  return {
    take(piece) {
      const pieces = (rest + piece).split('\n');
      rest = pieces.pop() ?? '';
      for (const line of pieces) see(shorten(line));
      // A line without end does not pile up: what is beyond the limit is looked at or dropped as it comes.
      rest = shorten(rest);
    },
    end() {
      if (rest !== '') see(rest);
    },
  };
}

const utf8 = (bytes: string): string => Buffer.from(bytes, 'latin1').toString();

/** `a/name`, or `"a/na\303\251\"me"` where git had to quote it; a name with a blank is followed by a tab. */
function named(shown: string): string {
  if (!shown.startsWith('"')) return utf8(shown.replace(/\t$/, '').slice(2));
  const plain = shown.slice(1, shown.lastIndexOf('"')).replaceAll(/\\(?:([0-7]{3})|(.))/g, (_all, octal?: string, char?: string) => {
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
    return { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', v: '\v', a: '\x07' }[char ?? ''] ?? char ?? '';
  });
  return utf8(plain.slice(2));
}
