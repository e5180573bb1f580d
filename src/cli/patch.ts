import type { Run } from './api.ts';
import { block } from './legible.ts';
import type { Session } from './session.ts';
import type { Style } from './terminal.ts';

/** Prints what a run changed. On a terminal harmless and in colours; elsewhere as it is, so that `git apply` takes it. */
export function printPatch({ screen, terminal }: Session, { diff, diffFile, diffTruncated }: Run): void {
  if (!diff) {
    screen.remark('Nothing was changed.');
    return;
  }
  if (screen.rich) {
    for (const { text, style } of styledPatch(diff)) screen.line(screen.paint(style, text));
  } else {
    terminal.stdout.write(diff.endsWith('\n') ? diff : `${diff}\n`);
  }
  if (diffTruncated) {
    screen.remark(
      `This is only the beginning. The whole patch is in ${block(diffFile ?? 'the branch')}, on the machine of the server that ran it.`,
    );
  }
}

export function* styledPatch(diff: string): Generator<{ readonly text: string; readonly style: Style | undefined }> {
  // A removed line may look like a header, "--- x"; only the place tells them apart.
  let inHunk = false;
  for (const line of diff.replace(/\n$/, '').split('\n')) {
    if (line.startsWith('diff --git ')) inHunk = false;
    else if (line.startsWith('@@')) inHunk = true;
    yield { text: block(line.replace(/\r$/, '')), style: inHunk ? hunkStyle(line) : 'bold' };
  }
}

function hunkStyle(line: string): Style | undefined {
  switch (line[0]) {
    case '@':
      return 'cyan';
    case '+':
      return 'green';
    case '-':
      return 'red';
    default:
      return undefined;
  }
}
