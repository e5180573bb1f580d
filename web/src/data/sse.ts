export interface Message {
  readonly id: string | undefined;
  readonly data: string;
}

/** Takes server-sent events apart as they come in, in whatever pieces. Comments are passed over. */
export function createSseParser(): (piece: string) => readonly Message[] {
  let rest = '';
  return (piece) => {
    const blocks = (rest + piece).split('\n\n');
    rest = blocks.pop() ?? '';
    return blocks.flatMap((block) => {
      let id: string | undefined;
      const data: string[] = [];
      for (const line of block.split('\n')) {
        if (line.startsWith('data: ')) data.push(line.slice(6));
        else if (line.startsWith('id: ')) id = line.slice(4);
      }
      return data.length === 0 ? [] : [{ id, data: data.join('\n') }];
    });
  };
}

/** The messages of a response, in batches as they arrive. `heard` is told of every sign of life, comments too. */
export async function* messagesOf(
  body: ReadableStream<Uint8Array>,
  heard: () => void = () => undefined,
): AsyncGenerator<readonly Message[]> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parse = createSseParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const messages = parse(decoder.decode(value, { stream: true }));
      if (messages.length > 0) yield messages;
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}
