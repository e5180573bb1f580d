import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

/** How the model's provider answers one request; written against the documented API, not against our code. */
export type Behaviour = (response: ServerResponse, request: SeenRequest) => void | Promise<void>;

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Resolves when the connection is gone. */
  readonly gone: Promise<void>;
}

export interface ModelUpstream {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
  /** What comes next, in order; the last one stays. */
  behaves(...behaviours: Behaviour[]): void;
  close(): Promise<void>;
}

export const startUpstream = (...first: Behaviour[]): Promise<ModelUpstream> => startUpstreamAt(0, ...first);

export async function startUpstreamAt(port: number, ...first: Behaviour[]): Promise<ModelUpstream> {
  const seen: SeenRequest[] = [];
  let next = first;
  const server = createServer((request, response) => {
    void (async () => {
      const gone = new Promise<void>((resolve) => response.once('close', () => resolve()));
      const body = await bodyOf(request);
      const known = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body, gone };
      seen.push(known);
      const behaviour = next.length > 1 ? next.shift() : next[0];
      await (behaviour ?? says('Hello.'))(response, known);
    })().catch(() => response.destroy());
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    behaves(...behaviours) {
      next = behaviours;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}

const usage = { input_tokens: 12, cache_creation_input_tokens: 3, cache_read_input_tokens: 40, output_tokens: 1 };
const streamType = { 'content-type': 'text/event-stream; charset=utf-8', 'request-id': 'req_upstream' };

const event = (type: string, data: object = {}): string => `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;

/** The events of an answer of one text. */
export function textEvents(text: string, model = 'claude-test-1'): string[] {
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null, usage };
  return [
    event('message_start', { message }),
    event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
    event('content_block_stop', { index: 0 }),
    event('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 9 } }),
    event('message_stop'),
  ];
}

export const wantsStream = ({ body }: SeenRequest): boolean => /"stream":\s*true/.test(body);

/** An answer that calls one tool. */
export const calls =
  (tool: string, input: object, model = 'claude-test-1'): Behaviour =>
  (response, request) => {
    const message = { id: 'msg_1', type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null, usage };
    const block = { type: 'tool_use', id: `toolu_${Math.random().toString(36).slice(2)}`, name: tool, input: {} };
    if (!wantsStream(request)) {
      const whole = { ...message, content: [{ ...block, input }], stop_reason: 'tool_use', usage: { ...usage, output_tokens: 9 } };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(whole));
      return;
    }
    const events = [
      event('message_start', { message }),
      event('content_block_start', { index: 0, content_block: block }),
      event('content_block_delta', { index: 0, delta: { type: 'input_json_delta', partial_json: JSON.stringify(input) } }),
      event('content_block_stop', { index: 0 }),
      event('message_delta', { delta: { stop_reason: 'tool_use', stop_sequence: null }, usage: { output_tokens: 9 } }),
      event('message_stop'),
    ];
    response.writeHead(200, streamType).end(events.join(''));
  };

export const says =
  (text: string): Behaviour =>
  (response) => {
    response.writeHead(200, streamType).end(textEvents(text).join(''));
  };

export const saysWhole =
  (text: string, { gzip = false } = {}): Behaviour =>
  (response) => {
    const message = {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'claude-test-1',
      content: [{ type: 'text', text }],
      stop_reason: 'end_turn',
      usage: { ...usage, output_tokens: 9 },
    };
    const json = JSON.stringify(message);
    response
      .writeHead(200, { 'content-type': 'application/json', ...(gzip ? { 'content-encoding': 'gzip' } : {}) })
      .end(gzip ? gzipSync(json) : json);
  };

export const refuses =
  (status: number, message: string, headers: Record<string, string> = {}, type = 'some_error'): Behaviour =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify({ type: 'error', error: { type, message } }));
  };

export const hangs: Behaviour = () => undefined;

/** Begins to answer and breaks the connection in the middle of an event. */
export const cutsOff: Behaviour = (response) => {
  response.writeHead(200, streamType);
  response.write(textEvents('half a').slice(0, 2).join('').concat('event: content_block_delta\ndata: {"type":"content_blo'), () =>
    response.destroy(),
  );
};

/** A stream that ends with an error, as the API does when it is overloaded in the middle. */
export const failsInside: Behaviour = (response) => {
  const error = event('error', { error: { type: 'overloaded_error', message: 'Overloaded' } });
  response.writeHead(200, streamType).end(textEvents('x').slice(0, 2).join('') + error);
};

/** A page of something else altogether. */
export const showsPage: Behaviour = (response) => {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Welcome to the hotel network</html>');
};

export const garbles: Behaviour = (response) => {
  response.writeHead(200, streamType).end('event: message_start\ndata: {"type":"message_start","mess\n\ndata: ][\n\n\u0000\u0001\n\n');
};

/** Sends one piece per call of `more`, and then ends. */
export function drips(pieces: readonly string[]): { readonly behaviour: Behaviour; more(): void } {
  let wake: () => void = () => undefined;
  let owed = 0;
  return {
    more() {
      owed += 1;
      wake();
    },
    async behaviour(response) {
      response.writeHead(200, streamType);
      response.flushHeaders();
      for (const piece of pieces) {
        while (owed === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        owed -= 1;
        response.write(piece);
      }
      response.end();
    },
  };
}

/** Writes as fast as it is read, up to a limit, and says how much it got rid of. */
export function pours(limitBytes: number): { readonly behaviour: Behaviour; readonly poured: () => number } {
  let poured = 0;
  const piece = event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'x'.repeat(16_000) } });
  return {
    poured: () => poured,
    async behaviour(response) {
      response.writeHead(200, streamType);
      while (poured < limitBytes && !response.destroyed) {
        poured += piece.length;
        if (!response.write(piece)) await drained(response);
      }
      response.end();
    },
  };
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      response.off('drain', go).off('close', go);
      resolve();
    };
    response.once('drain', go).once('close', go);
  });
}
