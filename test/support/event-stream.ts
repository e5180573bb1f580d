import type { Api, ApiEvent } from './server.ts';
import { until } from './server-process.ts';

/** A reader of server-sent events that keeps what it got. */
export class EventStream {
  readonly events: ApiEvent[] = [];
  readonly comments: string[] = [];
  /** Resolves when the stream is over: `ended` by the server in good order, `cut`, or `left` by us. */
  readonly over: Promise<'ended' | 'cut' | 'left'>;
  private readonly leaving = new AbortController();
  private readonly response: Response;

  private constructor(response: Response, leaving: AbortController) {
    this.response = response;
    this.leaving = leaving;
    this.over = this.read().then(
      () => 'ended' as const,
      () => (leaving.signal.aborted ? ('left' as const) : ('cut' as const)),
    );
  }

  static async open(api: Api, path: string, lastEventId?: string): Promise<EventStream> {
    const leaving = new AbortController();
    const response = await fetch(api.address + path, {
      headers: { authorization: `Bearer ${api.token}`, ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) },
      signal: leaving.signal,
    });
    if (response.status !== 200) throw new Error(`no stream: ${response.status} ${await response.text()}`);
    return new EventStream(response, leaving);
  }

  get lastId(): string | undefined {
    return this.events.at(-1)?.id;
  }

  /** The first event that matches, once it is there. */
  seen(what: string, matches: (event: ApiEvent) => boolean): Promise<ApiEvent> {
    return until(what, () => this.events.find(matches));
  }

  async leave(): Promise<void> {
    this.leaving.abort();
    await this.over;
  }

  private async read(): Promise<void> {
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of this.response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true });
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) this.take(block);
    }
  }

  private take(block: string): void {
    const lines = block.split('\n');
    for (const line of lines) if (line.startsWith(':')) this.comments.push(line.slice(1).trim());
    const data = lines.flatMap((line) => (line.startsWith('data: ') ? line.slice(6) : []));
    if (data.length === 0) return;
    const event = JSON.parse(data.join('\n')) as ApiEvent;
    if (!lines.includes(`id: ${event.id}`) || !lines.includes(`event: ${event.type}`))
      throw new Error(`a message at odds with itself: ${block}`);
    this.events.push(event);
  }
}
