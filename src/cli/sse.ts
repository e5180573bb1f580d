import type { StreamedEvent } from './api.ts';

/** Server-sent events out of bytes that are cut anywhere. A comment (a heartbeat) comes as undefined: a sign of life. */
export async function* parseEvents(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<StreamedEvent | undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of bytes) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const each of blocks) yield eventIn(each);
  }
}

function eventIn(message: string): StreamedEvent | undefined {
  const data = message
    .split('\n')
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trimStart());
  return data.length === 0 ? undefined : (JSON.parse(data.join('\n')) as StreamedEvent);
}
