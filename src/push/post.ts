import { lookup } from 'node:dns';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { Sending } from '../outbox/channel.ts';
import { isPrivate } from '../platform/address.ts';

interface Recipient {
  /** Chosen by whoever has subscribed, so it is not to be trusted. */
  readonly endpoint: string;
  readonly ownServices: readonly string[];
}

/** How long a push service keeps it for a browser that is away. */
const keepSeconds = 86_400;

/** Why this address is not told anything, or undefined. What its name leads to is looked at again when it is called. */
export function whyNotTold(endpoint: string, ownServices: readonly string[]): string | undefined {
  if (!URL.canParse(endpoint)) return 'endpoint is no address';
  const { protocol, hostname, port, origin, username, password } = new URL(endpoint);
  if (username !== '' || password !== '') return 'endpoint has a password in it';
  if (ownServices.includes(origin)) return undefined;
  if (protocol !== 'https:' || port !== '') return 'endpoint is not an https address with the usual port';
  if (isIP(bare(hostname)) !== 0) return 'endpoint names an address instead of a push service';
  return undefined;
}

const bare = (host: string): string => host.replace(/^\[|\]$/g, '');

/** `gone` when the push service knows of no such subscription any more. */
export function postTo(
  { endpoint, ownServices }: Recipient,
  { headers, body }: { readonly headers: Readonly<Record<string, string>>; readonly body: Buffer },
  signal: AbortSignal,
): Promise<Sending | 'gone'> {
  const why = whyNotTold(endpoint, ownServices);
  if (why !== undefined) return Promise.resolve({ kind: 'refused', code: 'bad-endpoint', message: `It was not sent: ${why}.` });
  const url = new URL(endpoint);
  const own = ownServices.includes(url.origin);
  return new Promise((resolve) => {
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
      method: 'POST',
      agent: false,
      signal,
      ...(own ? {} : { lookup: onlyPublic }),
      headers: {
        ttl: String(keepSeconds),
        urgency: 'high',
        'content-encoding': 'aes128gcm',
        'content-type': 'application/octet-stream',
        'content-length': body.length,
        ...headers,
      },
    });
    request.once('response', (response) => {
      resolve(meaningOf(response));
      response.on('error', () => undefined).destroy(); // its status says all, and a redirect leads nowhere
    });
    request.once('error', (error: NodeJS.ErrnoException) => resolve(unreachable(error)));
    request.end(body);
  });
}

/** One bad address among good ones is how a name is turned against its visitor, so all of them count. */
const onlyPublic: LookupFunction = (host, options, callback) => {
  lookup(host, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, '', 0);
    const [first] = addresses;
    if (!first || addresses.some(({ address }) => isPrivate(address))) {
      return callback(Object.assign(new Error('not on the public network'), { code: 'NOT_PUBLIC' }), '', 0);
    }
    return options.all ? callback(null, addresses) : callback(null, first.address, first.family);
  });
};

function unreachable({ code }: NodeJS.ErrnoException): Sending {
  if (code === 'NOT_PUBLIC') {
    return { kind: 'refused', code: 'not-public', message: 'The push service is not on the public network; see NIGHTSHIFT_PUSH_SERVICES.' };
  }
  // A connection that was never made carried nothing; of any other failure nobody knows. The tag lets a browser show it once.
  const doubtful = !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code ?? '');
  return { kind: 'retry', code: 'unreachable', message: `The push service cannot be reached (${code ?? 'no answer'}).`, doubtful };
}

function meaningOf({ statusCode: status = 0, headers }: IncomingMessage): Sending | 'gone' {
  if (status >= 200 && status < 300) return { kind: 'sent', ref: null };
  if (status === 404 || status === 410) return 'gone';
  if (status === 429 || status >= 500) {
    const seconds = Number(headers['retry-after']);
    return {
      kind: 'retry',
      code: `http-${status}`,
      message: `The push service answered with status ${status}.`,
      ...(seconds > 0 && seconds < 86_400 ? { afterMs: seconds * 1_000 } : {}),
      doubtful: status >= 500,
    };
  }
  return { kind: 'refused', code: `http-${status}`, message: `The push service refuses it with status ${status}.` };
}
