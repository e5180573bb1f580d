/** A body as text; undefined when it is longer than that, and then the rest is not read. Rejects when it breaks off. */
export async function textWithin(body: AsyncIterable<Uint8Array> | null, mostBytes: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > mostBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size).toString('utf8');
}
