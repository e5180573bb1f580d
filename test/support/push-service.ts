import { createDecipheriv, createECDH, createPublicKey, hkdfSync, randomBytes, verify } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A browser's side of a push service, and the service, written against RFC 8030, 8291 and 8292 and not against our code. */
export interface PushService {
  readonly origin: string;
  /** What a browser would hand to its page. */
  subscribe(): Subscribed;
  /** With what status the next ones are answered; the last one stays. */
  answers(...statuses: number[]): void;
  /** Called when something has come, before it is answered. */
  taken: (() => void) | undefined;
  /** Requests at all, whatever came of them. */
  readonly asked: readonly { readonly path: string; readonly status: number; readonly contact: unknown }[];
  close(): Promise<void>;
}

interface Subscribed {
  readonly subscription: { readonly endpoint: string; readonly keys: { readonly p256dh: string; readonly auth: string } };
  /** What has come for it, decrypted. */
  readonly notes: readonly { readonly title: string; readonly text: string; readonly path: string; readonly tag: string }[];
}

export async function startPushService(): Promise<PushService> {
  const receivers = new Map<string, (body: Buffer) => void>();
  const asked: { path: string; status: number; contact: unknown }[] = [];
  let statuses = [201];
  const server = createServer((request, response) => {
    void (async () => {
      const body = await bodyOf(request);
      const path = request.url ?? '';
      const contact = contactIn(request, `http://${request.headers.host}`);
      const status = statuses.length > 1 ? (statuses.shift() as number) : (statuses[0] as number);
      asked.push({ path, status, contact });
      if (status === 201) receivers.get(path)?.(body);
      service.taken?.();
      response.writeHead(status).end();
    })().catch((error: unknown) => response.writeHead(400).end(String(error)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const service: PushService = {
    origin,
    taken: undefined,
    asked,
    answers: (...next) => {
      statuses = next;
    },
    subscribe() {
      const own = createECDH('prime256v1');
      own.generateKeys();
      const auth = randomBytes(16);
      const path = `/push/${randomBytes(8).toString('hex')}`;
      const notes: Subscribed['notes'][number][] = [];
      receivers.set(path, (body) => notes.push(JSON.parse(decrypted(body, own, auth))));
      const keys = { p256dh: own.getPublicKey('base64url'), auth: auth.toString('base64url') };
      return { subscription: { endpoint: origin + path, keys }, notes };
    },
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return service;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Throws unless the sender has signed for this very service, and for no longer than a day. */
function contactIn({ headers }: IncomingMessage, origin: string): unknown {
  const [, token = '', key = ''] = /^vapid t=([^,]+), k=(\S+)$/.exec(headers.authorization ?? '') ?? [];
  const [head = '', claims = '', signature = ''] = token.split('.');
  const point = Buffer.from(key, 'base64url');
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((part) => part.toString('base64url')) as [string, string];
  const publicKey = createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: 'P-256', x, y } });
  const signed = Buffer.from(`${head}.${claims}`);
  if (!verify('sha256', signed, { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))) {
    throw new Error('the signature is wrong');
  }
  const { aud, exp, sub } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { aud: string; exp: number; sub: string };
  if (aud !== origin) throw new Error(`signed for ${aud}, not for ${origin}`);
  if (exp * 1_000 < Date.now() || exp * 1_000 > Date.now() + 86_400_000) throw new Error('signed for the wrong time');
  if (headers['content-encoding'] !== 'aes128gcm' || !(Number(headers['ttl']) > 0)) throw new Error('a header is missing');
  return sub;
}

function decrypted(body: Buffer, own: ReturnType<typeof createECDH>, auth: Buffer): string {
  const salt = body.subarray(0, 16);
  const length = body[20] as number;
  const theirs = body.subarray(21, 21 + length);
  const rest = body.subarray(21 + length);
  const info = Buffer.concat([Buffer.from('WebPush: info\0'), own.getPublicKey(), theirs]);
  const secret = Buffer.from(hkdfSync('sha256', own.computeSecret(theirs), auth, info, 32));
  const key = Buffer.from(hkdfSync('sha256', secret, salt, 'Content-Encoding: aes128gcm\0', 16));
  const nonce = Buffer.from(hkdfSync('sha256', secret, salt, 'Content-Encoding: nonce\0', 12));
  const decipher = createDecipheriv('aes-128-gcm', key, nonce);
  decipher.setAuthTag(rest.subarray(-16));
  const plain = Buffer.concat([decipher.update(rest.subarray(0, -16)), decipher.final()]);
  return plain.subarray(0, plain.lastIndexOf(2)).toString();
}
