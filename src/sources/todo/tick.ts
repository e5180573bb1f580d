import { type FileHandle, open, stat } from 'node:fs/promises';

export type Ticked =
  | { readonly kind: 'ticked' | 'already' }
  /** The box is not where it was: somebody is editing. Read the file again, find the item, and try once more. */
  | { readonly kind: 'moved' };

/**
 * Ticks the box of the to-do in this line, and writes that one character alone: whatever a person is changing in the file
 * at this moment stays theirs. `expected` is the line as it was read, without its end.
 */
export async function tickBox(path: string, line: number, expected: string): Promise<Ticked> {
  const file = await open(path, 'r+');
  try {
    return await tickIn(file, path, line, expected);
  } finally {
    await file.close();
  }
}

/** The same in a file that is open. If another has taken its place by then, the tick went into one that nobody sees. */
export async function tickIn(file: FileHandle, path: string, line: number, expected: string): Promise<Ticked> {
  const bytes = await file.readFile();
  const found = lineAt(bytes, line);
  if (found === undefined) return { kind: 'moved' };
  const { start, end } = found;
  if (bytes.subarray(start, end).toString('utf8') !== expected) return { kind: 'moved' };
  const box = boxIn(bytes.subarray(start, end).toString('latin1'));
  if (box === undefined) return { kind: 'moved' };
  const at = start + box;
  if (bytes[at + 1] === space && !(await replaceIf(file, at))) return { kind: 'moved' };
  const [ours, theirs] = await Promise.all([file.stat(), stat(path)]);
  if (ours.ino !== theirs.ino || ours.dev !== theirs.dev) return { kind: 'moved' };
  return { kind: bytes[at + 1] === space ? 'ticked' : 'already' };
}

const space = 0x20;

/** Looks once more, right before it writes: between the two there is nothing but the write itself. */
async function replaceIf(file: FileHandle, at: number): Promise<boolean> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(3), 0, 3, at);
  if (bytesRead !== 3 || buffer.toString('latin1') !== '[ ]') return false;
  await file.write('x', at + 1, 'latin1');
  return true;
}

/** What may stand before a box is all of one byte each, so this counts bytes. */
const boxIn = (line: string): number | undefined => {
  const found = /^(?:\xef\xbb\xbf)?[\s>*+\-0-9.)]*(?=\[[ xX]\])/.exec(line);
  return found ? found[0].length : undefined;
};

/** Where a line begins and ends, counted in bytes, without its break. */
export function lineAt(bytes: Buffer, line: number): { readonly start: number; readonly end: number } | undefined {
  let start = 0;
  let end = lineEnd(bytes, start);
  for (let passed = 0; passed < line; passed++) {
    if (end >= bytes.length) return undefined;
    start = end + (bytes[end] === 0x0d && bytes[end + 1] === 0x0a ? 2 : 1);
    end = lineEnd(bytes, start);
  }
  return { start, end };
}

function lineEnd(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at++) if (bytes[at] === 0x0a || bytes[at] === 0x0d) return at;
  return bytes.length;
}
