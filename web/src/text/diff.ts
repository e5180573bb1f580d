/** A patch as git writes it, taken apart for reading. What cannot be read as one is shown as it is. */
export interface FileDiff {
  readonly path: string;
  readonly from: string | undefined;
  readonly kind: 'added' | 'deleted' | 'renamed' | 'modified';
  readonly binary: boolean;
  /** What else became of it, in words. */
  readonly remarks: readonly string[];
  readonly hunks: readonly Hunk[];
  readonly additions: number;
  readonly deletions: number;
}

interface Hunk {
  readonly header: string;
  readonly lines: readonly Line[];
}

export interface Line {
  readonly kind: 'same' | 'added' | 'removed' | 'remark';
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
  const from = unquoted(after('rename from '));
  const to = pathIn(after('+++ ')) ?? unquoted(after('rename to ')) ?? pathIn(after('--- ')) ?? pathInHeader(head[0] ?? '');
  const binary = head.some((line) => line.startsWith('Binary files') || line === 'GIT binary patch');
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
    binary,
    remarks: remarksOf({
      before: after('old mode '),
      after: after('new mode ') ?? after('new file mode '),
      moved: from !== undefined,
      hasContent: binary || hunks.length > 0,
    }),
    hunks,
    additions: all.filter(({ kind }) => kind === 'added').length,
    deletions: all.filter(({ kind }) => kind === 'removed').length,
  };
}

/** `a/…` and `b/…`. */
function pathIn(text: string | undefined): string | undefined {
  const plain = unquoted(text?.replace(/\t$/, ''));
  return plain === undefined || plain === '/dev/null' ? undefined : plain.replace(/^[ab]\//, '');
}

/** Both names are the same where nothing else tells them, so the line has two halves. */
function pathInHeader(line: string): string {
  const names = line.replace('diff --git ', '');
  return pathIn(names.slice((names.length + 1) / 2)) ?? names;
}

const escapes: Readonly<Record<string, string>> = { a: '\u0007', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** A name with odd characters comes in quotes, and those characters as in C. */
function unquoted(text: string | undefined): string | undefined {
  const inner = text === undefined ? undefined : /^"(.*)"$/.exec(text)?.[1];
  return inner === undefined
    ? text
    : inner.replaceAll(/\\(?:([0-7]{3})|(.))/g, (_, octal: string | undefined, char: string) =>
        octal === undefined ? (escapes[char] ?? char) : String.fromCharCode(Number.parseInt(octal, 8)),
      );
}

interface Head {
  readonly before: string | undefined;
  readonly after: string | undefined;
  readonly moved: boolean;
  readonly hasContent: boolean;
}

/** A program that can be started, and a link that leads elsewhere, look like any other text in a patch. */
function remarksOf({ before, after, moved, hasContent }: Head): readonly string[] {
  const remarks: string[] = [];
  if (moved && !hasContent) remarks.push('What is in it is the same.');
  if (before !== undefined && after !== undefined) remarks.push(`Its mode was ${before} and is ${after}.`);
  else if (after === '100755') remarks.push('It can be executed.');
  else if (after === '100644' && !hasContent) remarks.push('It is empty.');
  if (after === '120000') remarks.push('It is a symbolic link to what is its text.');
  return remarks;
}

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
    else if (line.startsWith('\\')) hunk.lines.push({ kind: 'remark', text: text.trim(), before: undefined, after: undefined, at });
    else hunk.lines.push({ kind: 'same', text, before: before++, after: after++, at });
  }
  return hunks;
}
