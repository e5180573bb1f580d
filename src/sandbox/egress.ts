import { lookup } from 'node:dns/promises';
import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { connect, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { isPrivate } from '../platform/address.ts';
import type { Log } from '../platform/log.ts';

/** What a repository's agents may reach. */
export interface Rule {
  /** A name, or `*.` and a name for everything below it (not the name itself). Never an address. */
  readonly host: string;
  readonly port: number;
}

export type ParsedRule = { readonly ok: true; readonly rule: Rule } | { readonly ok: false; readonly message: string };

export interface Egress {
  /** The profile's `egressSocket`. */
  readonly socket: string;
  stop(): Promise<void>;
}

/** The network as the proxy finds it. */
export interface Network {
  /** Replaces DNS. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** Replaces the list of addresses that are nobody's business. For tests, whose only network is loopback. */
  readonly isForbidden?: (address: string) => boolean;
}

export interface EgressParts extends Network {
  /** Where to listen; at most 107 bytes. */
  readonly socket: string;
  readonly rules: readonly Rule[];
  readonly log: Log;
  readonly onRefused?: (refused: { readonly host: string; readonly port: number; readonly why: string }) => void;
}

const label = '[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?';
const name = new RegExp(`^${label}(\\.${label})*$`);

/** `registry.npmjs.org`, `*.example.org:8443`; the port is 443 unless it is given. */
export function parseRule(text: string): ParsedRule {
  const refuse = (why: string): ParsedRule => ({ ok: false, message: `${JSON.stringify(text)} cannot be allowed: ${why}.` });
  const [, host = '', digits = '443'] = /^([^:]*)(?::(\d+))?$/.exec(text.trim().toLowerCase()) ?? [];
  const port = Number(digits);
  const bare = host.replace(/^\*\./, '');
  if (!name.test(bare) || host.length > 253) return refuse('write a host name, or *. and a name, and a port if it is not 443');
  if (looksLikeAddress(bare)) return refuse('addresses are not allowed, only names');
  if (host.startsWith('*.') && !bare.includes('.')) return refuse('that is a whole top-level domain');
  if (port < 1 || port > 65_535) return refuse('there is no such port');
  return { ok: true, rule: { host, port } };
}

/**
 * The only way out of a sandbox: a proxy on a unix socket that connects to what the rules name and to nothing else. A
 * name is looked up here, once, and the connection goes to that very address, so that a second answer cannot lead it to
 * another. Names that lead to this machine, its network or a cloud's metadata are refused whatever the rules say; that
 * keeps the server's own API out of reach as well.
 */
export async function startEgress(parts: EgressParts): Promise<Egress> {
  const open = new Set<Duplex>();
  const track = <S extends Duplex>(socket: S): S => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    return socket;
  };
  const server = createServer({ requestTimeout: 0, headersTimeout: 30_000, maxHeaderSize: 16_384 });
  // Each connection costs the server two descriptors, and an agent may open as many as it likes.
  server.maxConnections = maxConnections;
  server.on('connection', track);
  server.on(
    'connect',
    (incoming: IncomingMessage, client: Duplex, head: Buffer) =>
      void tunnel(parts, incoming, client, head, track).catch(() => client.destroy()),
  );
  server.on('request', (incoming, response) => void forward(parts, incoming, response, track).catch(() => response.destroy()));
  server.on('clientError', (_, socket) => socket.destroy());
  await rm(parts.socket, { force: true });
  await listen(server, parts.socket);
  await chmod(parts.socket, 0o600);
  return {
    socket: parts.socket,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

type Track = <S extends Duplex>(socket: S) => S;
interface Target {
  readonly host: string;
  readonly port: number;
}

async function tunnel(parts: EgressParts, incoming: IncomingMessage, client: Duplex, head: Buffer, track: Track): Promise<void> {
  client.on('error', () => client.destroy());
  const decided = await admit(parts, targetOf(incoming.url ?? ''));
  if (!decided.ok) return void client.end(refusalText(decided.why));
  if (client.destroyed) return;
  const outer: Socket = track(connect({ host: decided.address, port: decided.port }));
  outer.setTimeout(connectMs, () => outer.destroy());
  outer.once('connect', () => {
    outer.setTimeout(0);
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    outer.write(head);
    client.pipe(outer).pipe(client);
  });
  outer.on('error', () => outer.destroy());
  // Before it was connected there is nothing to carry on; the client's own side says why.
  outer.once('close', () => (outer.bytesRead > 0 || outer.bytesWritten > 0 ? client.destroy() : client.end(unreachable)));
  client.once('close', () => outer.destroy());
}

/** Plain http, which some package mirrors still are. Each request is judged for itself. */
async function forward(parts: EgressParts, incoming: IncomingMessage, response: ServerResponse, track: Track): Promise<void> {
  const url = URL.canParse(incoming.url ?? '') ? new URL(incoming.url ?? '') : undefined;
  const target = url?.protocol === 'http:' ? targetOf(`${url.hostname}:${url.port || 80}`) : undefined;
  const decided = await admit(parts, target);
  if (!url || !decided.ok) {
    response.writeHead(403, { 'content-type': 'text/plain', connection: 'close' });
    return void response.end(`${decided.ok ? 'not a request for a proxy' : decided.why}\n`);
  }
  const headers = Object.fromEntries(Object.entries(incoming.headers).filter(([header]) => !hopByHop.has(header)));
  const outgoing = request({
    host: decided.address,
    port: decided.port,
    method: incoming.method,
    path: `${url.pathname}${url.search}`,
    headers: { ...headers, host: url.host },
    agent: false,
    timeout: connectMs,
  });
  outgoing.on('socket', track);
  outgoing.on('timeout', () => outgoing.destroy());
  outgoing.on('response', (answer) => {
    outgoing.setTimeout(0);
    answer.on('error', () => response.destroy());
    try {
      response.writeHead(
        answer.statusCode ?? 502,
        Object.fromEntries(Object.entries(answer.headers).filter(([header]) => !hopByHop.has(header))),
      );
    } catch {
      return void outgoing.destroy(new Error('an answer that cannot be passed on')); // such as a status of 000
    }
    answer.pipe(response);
  });
  outgoing.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end('unreachable\n')));
  response.on('close', () => outgoing.destroy());
  incoming.on('error', () => outgoing.destroy());
  incoming.pipe(outgoing);
}

const connectMs = 30_000;
const maxConnections = 128;
const hopByHop = new Set([
  'connection',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'keep-alive',
  'te',
  'trailer',
  'upgrade',
  'host',
]);
const unreachable = 'HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';
const refusalText = (why: string): string =>
  `HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(why) + 1}\r\n\r\n${why}\n`;

function targetOf(authority: string): Target | undefined {
  const [, host = '', port = ''] = /^([^:@/]+|\[[^\]]*\]):(\d{1,5})$/.exec(authority) ?? [];
  return host === '' ? undefined : { host: host.toLowerCase().replace(/\.$/, ''), port: Number(port) };
}

type Decision = { readonly ok: true; readonly address: string; readonly port: number } | { readonly ok: false; readonly why: string };

async function admit(parts: EgressParts, target: Target | undefined): Promise<Decision> {
  const decision = await decide(parts, target);
  if (!decision.ok) {
    const { host, port } = target ?? { host: '(unreadable)', port: 0 };
    parts.log.warn({ host, port, why: decision.why }, 'egress refused');
    parts.onRefused?.({ host, port, why: decision.why });
  }
  return decision;
}

async function decide(
  { rules, resolve = addressesOf, isForbidden = isPrivate }: EgressParts,
  target: Target | undefined,
): Promise<Decision> {
  if (!target) return { ok: false, why: 'the request names no host and port' };
  const { host, port } = target;
  if (looksLikeAddress(host)) return { ok: false, why: `${host} is an address; only names can be allowed` };
  if (!name.test(host)) return { ok: false, why: 'that is no host name' };
  if (!rules.some((rule) => rule.port === port && matches(rule.host, host)))
    return { ok: false, why: `${host}:${port} is not on the repository's list` };
  const addresses = await resolve(host).catch(() => []);
  const [address] = addresses;
  if (address === undefined) return { ok: false, why: `${host} has no address` };
  // One bad address among good ones is how a name is turned against its visitor, so all of them count.
  const forbidden = addresses.find((each) => isIP(each) === 0 || isForbidden(each));
  if (forbidden !== undefined) return { ok: false, why: `${host} leads to ${forbidden}, which is not on the public network` };
  return { ok: true, address, port };
}

const matches = (rule: string, host: string): boolean =>
  rule.startsWith('*.') ? host.endsWith(rule.slice(1)) && host.length > rule.length - 1 : host === rule;

/** Also the ways of writing one that only some programs understand: 127.1, 0x7f000001, 2130706433, 0177.0.0.1. */
function looksLikeAddress(host: string): boolean {
  const last = host.replace(/\.$/, '').split('.').at(-1) ?? '';
  return host.startsWith('[') || isIP(host) !== 0 || /^(\d+|0x[0-9a-f]*)$/.test(last);
}

async function addressesOf(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
