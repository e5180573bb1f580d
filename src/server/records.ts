import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

interface Artifact {
  readonly name: string;
  readonly bytes: number;
}

export interface RecordFile {
  readonly bytes: number;
  readonly stream: ReadableStream<Uint8Array>;
}

/** What a run left in its directory of records. Names come from outside: only those that are listed are opened. */
export async function artifactsOf(records: string): Promise<readonly Artifact[]> {
  const directory = join(records, 'artifacts');
  const names = await readdir(directory).catch(() => []);
  const found = await Promise.all(names.map(async (name) => ({ name, file: await lstat(join(directory, name)).catch(() => undefined) })));
  return found.flatMap(({ name, file }) => (file?.isFile() ? [{ name, bytes: file.size }] : [])).sort((a, b) => (a.name < b.name ? -1 : 1));
}

export async function openArtifact(records: string, name: string): Promise<RecordFile | undefined> {
  const known = (await artifactsOf(records)).some((artifact) => artifact.name === name);
  return known ? openRecord(join(records, 'artifacts'), name) : undefined;
}

/** As long as it is now: a log that grows meanwhile is not followed. Undefined when there is none. */
export async function openRecord(records: string, name: string): Promise<RecordFile | undefined> {
  const path = join(records, name);
  const found = await lstat(path).catch(absent);
  return found?.isFile() ? { bytes: found.size, stream: read(path, found.size) } : undefined;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}

const pieceBytes = 64 * 1024;

/** Opened when the first piece is asked for, which a HEAD request never does; closed when it is over or nobody wants it any more. */
function read(path: string, bytes: number): ReadableStream<Uint8Array> {
  let file: FileHandle | undefined;
  let at = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        file ??= await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
        const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(pieceBytes, bytes - at)), 0, null, at);
        at += bytesRead;
        if (bytesRead > 0) controller.enqueue(buffer.subarray(0, bytesRead));
        if (bytesRead > 0 && at < bytes) return;
        await file.close();
        if (at < bytes) controller.error(new Error('the file became shorter while it was read'));
        else controller.close();
      },
      cancel: () => file?.close(),
    },
    { highWaterMark: 0 },
  );
}
