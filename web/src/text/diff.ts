/** A patch as git writes it, taken apart for reading. What cannot be read as one is shown as it is. */
export interface FileDiff {
  readonly path: string;
  readonly from: string | undefined;
  readonly kind: 'added' | 'deleted' | 'renamed' | 'modified';
  readonly binary: boolean;
  readonly hunks: readonly Hunk[];
  readonly additions: number;
  readonly deletions: number;
}

interface Hunk {
  readonly header: string;
  readonly lines: readonly Line[];
}

export interface Line {
  readonly kind: 'same' | 'added' | 'removed' | 'note';
  readonly text: string;
  readonly before: number | undefined;
  readonly after: number | undefined;
  /** Its place in the hunk. */
  readonly at: number;
}

export function parseDiff(patch: string): readonly FileDiff[] {
  const parts = patch.split(/^(?=diff --git )/m).filter((part) => part.startsWith('diff --git '));
  return parts.map(parseFile);
}

function parseFile(part: string): FileDiff {
  const lines = part.replace(/\n$/, '').split('\n');
  const begin = lines.findIndex((line) => line.startsWith('@@'));
  const head = begin < 0 ? lines : lines.slice(0, begin);
  const hunks = begin < 0 ? [] : parseHunks(lines.slice(begin));
  const after = (prefix: string): string | undefined => head.find((line) => line.startsWith(prefix))?.slice(prefix.length);
  const all = hunks.flatMap((hunk) => hunk.lines);
  const from = after('rename from ');
  const to = pathIn(after('+++ ')) ?? after('rename to ') ?? pathIn(after('--- ')) ?? pathInHeader(head[0] ?? '');
  return {
    path: to,
    from,
    kind:
      after('new file mode') !== undefined
        ? 'added'
        : after('deleted file mode') !== undefined
          ? 'deleted'
          : from === undefined
            ? 'modified'
            : 'renamed',
    binary: head.some((line) => line.startsWith('Binary files') || line === 'GIT binary patch'),
    hunks,
    additions: all.filter(({ kind }) => kind === 'added').length,
    deletions: all.filter(({ kind }) => kind === 'removed').length,
  };
}

/** `a/…` and `b/…`; a name with odd characters comes in quotes. */
function pathIn(text: string | undefined): string | undefined {
  const plain = text?.replace(/\t$/, '').replace(/^"(.*)"$/, '$1');
  return plain === undefined || plain === '/dev/null' ? undefined : plain.replace(/^[ab]\//, '');
}

const pathInHeader = (line: string): string => /^diff --git "?a\/.* "?b\/(.*?)"?$/.exec(line)?.[1] ?? line.replace('diff --git ', '');

function parseHunks(lines: readonly string[]): readonly Hunk[] {
  const hunks: { header: string; lines: Line[] }[] = [];
  let before = 0;
  let after = 0;
  for (const line of lines) {
    const header = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/.exec(line);
    if (header) {
      [before, after] = [Number(header[1]), Number(header[2])];
      hunks.push({ header: (header[3] ?? '').trim(), lines: [] });
      continue;
    }
    const hunk = hunks.at(-1);
    if (!hunk) continue;
    const text = line.slice(1);
    const at = hunk.lines.length;
    if (line.startsWith('+')) hunk.lines.push({ kind: 'added', text, before: undefined, after: after++, at });
    else if (line.startsWith('-')) hunk.lines.push({ kind: 'removed', text, before: before++, after: undefined, at });
    else if (line.startsWith('\\')) hunk.lines.push({ kind: 'note', text: text.trim(), before: undefined, after: undefined, at });
    else hunk.lines.push({ kind: 'same', text, before: before++, after: after++, at });
  }
  return hunks;
}
