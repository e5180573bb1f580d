import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Unusable } from '../domain/errors.ts';

/** Longer than the 60 s for which proxies keep theirs: what one sends on a connection that we close at that moment is lost, and its client told 502. */
const keepAliveMs = 75_000;

export interface Listening {
  readonly address: string;
  /** Lets answers that are under way finish; connections that merely stay open are cut. */
  close(): Promise<void>;
}

/** `chosenBy`: how a person chooses another port when this one is in use. */
export function listen(
  answer: RequestListener,
  where: { readonly host: string; readonly port: number },
  chosenBy: string,
): Promise<Listening> {
  const { host, port } = where;
  return new Promise((resolve, reject) => {
    const server = createServer({ keepAliveTimeout: keepAliveMs }, answer);
    server.listen(port, host, () => resolve({ address: addressOf(server, host), close: () => close(server) }));
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? `port ${port} is in use; choose another with ${chosenBy}` : cause.message;
      reject(new Unusable('cannot-listen', `Cannot listen on ${host}:${port}: ${why}.`, cause));
    });
  });
}

function addressOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // One that is busy now is idle when its last answer is out, and would then be kept for the next.
  const tidy = setInterval(() => server.closeIdleConnections(), 10);
  const force = setTimeout(() => server.closeAllConnections(), 1_000);
  await closed;
  clearInterval(tidy);
  clearTimeout(force);
}
