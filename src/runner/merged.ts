import type { RunningCommand } from '../platform/subprocess.ts';

export interface Chunk {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/**
 * Both outputs of a program as they come. The consumer sets the pace: while it is busy the pipes fill up
 * and the program waits, so output never piles up in memory.
 */
export async function* merged(command: Pick<RunningCommand, 'stdout' | 'stderr'>): AsyncGenerator<Chunk> {
  const sources = [decode('stdout', command.stdout), decode('stderr', command.stderr)];
  const next = new Map(sources.map((source) => [source, source.next().then((result) => ({ source, result }))]));
  while (next.size > 0) {
    const { source, result } = await Promise.race(next.values());
    if (result.done) next.delete(source);
    else {
      next.set(
        source,
        source.next().then((following) => ({ source, result: following })),
      );
      yield result.value;
    }
  }
}

async function* decode(stream: Chunk['stream'], bytes: AsyncIterable<Buffer>): AsyncGenerator<Chunk> {
  const decoder = new TextDecoder();
  for await (const chunk of bytes) {
    // PostgreSQL's text cannot hold NUL, and no reader of a log misses it.
    const text = decoder.decode(chunk, { stream: true }).replaceAll('\0', '');
    if (text !== '') yield { stream, text };
  }
  const rest = decoder.decode();
  if (rest !== '') yield { stream, text: rest };
}
