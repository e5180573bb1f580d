import { createCipheriv, createECDH, ECDH, hkdfSync, randomBytes } from 'node:crypto';

const curve = 'prime256v1';
/** As much as a push service has to take. */
const recordSize = 4_096;

interface Chosen {
  readonly privateKey: Buffer;
  readonly salt: Buffer;
}

/** A message for one browser, as RFC 8291 has it: one record of `aes128gcm`. What is `chosen` must be new each time. */
export function encrypted(
  plain: Buffer,
  { p256dh, auth }: { readonly p256dh: string; readonly auth: string },
  chosen: Chosen = { privateKey: newPrivateKey(), salt: randomBytes(16) },
): Buffer {
  const own = createECDH(curve);
  own.setPrivateKey(chosen.privateKey);
  const [theirs, ours] = [Buffer.from(p256dh, 'base64url'), own.getPublicKey()];
  const info = Buffer.concat([Buffer.from('WebPush: info\0'), theirs, ours]);
  const secret = derived(own.computeSecret(theirs), Buffer.from(auth, 'base64url'), info, 32);
  const contentKey = derived(secret, chosen.salt, Buffer.from('Content-Encoding: aes128gcm\0'), 16);
  const nonce = derived(secret, chosen.salt, Buffer.from('Content-Encoding: nonce\0'), 12);
  const cipher = createCipheriv('aes-128-gcm', contentKey, nonce);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(recordSize);
  const lastRecord = Buffer.from([2]);
  const content = [cipher.update(plain), cipher.update(lastRecord), cipher.final(), cipher.getAuthTag()];
  return Buffer.concat([chosen.salt, size, Buffer.from([ours.length]), ours, ...content]);
}

export function isPublicKey(text: string): boolean {
  try {
    const key = Buffer.from(text, 'base64url');
    return key.length === 65 && ECDH.convertKey(key, curve).length === 65;
  } catch {
    return false; // no point of the curve
  }
}

function newPrivateKey(): Buffer {
  const pair = createECDH(curve);
  pair.generateKeys();
  return pair.getPrivateKey();
}

const derived = (secret: Buffer, salt: Buffer, info: Buffer, length: number): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, salt, info, length));
