import type { RunningCommand } from '../platform/subprocess.ts';

export interface Chunk {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/**
 * Both outputs of a program as they come. The consumer sets the pace: while it is busy the pipes fill up
 * and the program waits, so output never piles up in memory. (Racing the two would: a promise that stays open, such as
 * that of a silent stderr, keeps every value that ever won against it.)
 */
export async function* merged(command: Pick<RunningCommand, 'stdout' | 'stderr'>): AsyncGenerator<Chunk> {
  const offers: { readonly chunk: Chunk; readonly taken: () => void }[] = [];
  let wake = (): void => undefined;
  let open = 0;
  let failure: { readonly error: unknown } | undefined;

  const pump = async (source: AsyncIterable<Chunk>): Promise<void> => {
    open += 1;
    try {
      for await (const chunk of source) {
        const { promise, resolve } = Promise.withResolvers<void>();
        offers.push({ chunk, taken: resolve });
        wake();
        await promise;
      }
    } catch (error) {
      failure ??= { error };
    }
    open -= 1;
    wake();
  };
  void pump(decode('stdout', command.stdout));
  void pump(decode('stderr', command.stderr));

  while (open > 0 || offers.length > 0) {
    const offer = offers.shift();
    if (offer) {
      yield offer.chunk;
      offer.taken();
    } else {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  if (failure) throw failure.error;
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
