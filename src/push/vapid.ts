import { createECDH, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Unusable } from '../domain/errors.ts';

/** By which push services know us, and browsers whom they have subscribed to. */
export interface PushKey {
  /** An uncompressed point in base64url, as browsers take it. */
  readonly publicKey: string;
  readonly signing: KeyObject;
}

/** The configured key, else the one in the home, which is made when there is none. */
export function pushKeyIn(home: string, configured: string | undefined): PushKey {
  const file = join(home, 'push-key');
  const text = configured ?? readText(file) ?? makeKey(file);
  try {
    return keyFrom(Buffer.from(text.trim(), 'base64url'));
  } catch (cause) {
    const where = configured === undefined ? `The file ${file}` : 'pushKey (NIGHTSHIFT_PUSH_KEY)';
    throw new Unusable('bad-push-key', `${where} holds no private key of the curve P-256. Remove it, and one is made.`, cause);
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Moved to its place when it is whole: half a key would stop every later start. */
function makeKey(file: string): string {
  const pair = createECDH('prime256v1');
  pair.generateKeys();
  const text = pair.getPrivateKey().toString('base64url');
  writeFileSync(`${file}.new`, `${text}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return text;
}

function keyFrom(secret: Buffer): PushKey {
  const pair = createECDH('prime256v1');
  pair.setPrivateKey(secret);
  const point = pair.getPublicKey();
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((part) => part.toString('base64url')) as [string, string];
  // Short when it begins with noughts, which the form of a key does not allow.
  const d = Buffer.concat([Buffer.alloc(32 - secret.length), secret]).toString('base64url');
  const signing = createPrivateKey({ format: 'jwk', key: { kty: 'EC', crv: 'P-256', d, x, y } });
  return { publicKey: point.toString('base64url'), signing };
}

/** Of twenty-four hours that are allowed. */
const goodForSeconds = 12 * 3_600;

/** That it is we who send this, to whom, and until when that may be said (RFC 8292). */
export function authorisation(
  { publicKey, signing }: PushKey,
  { endpoint, contact, now }: { readonly endpoint: string; readonly contact: string; readonly now: number },
): string {
  const claims = { aud: new URL(endpoint).origin, exp: Math.floor(now / 1_000) + goodForSeconds, sub: contact };
  const said = [{ typ: 'JWT', alg: 'ES256' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = sign('sha256', Buffer.from(said), { key: signing, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  return `vapid t=${said}.${signature}, k=${publicKey}`;
}
