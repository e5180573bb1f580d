import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { Unusable } from '../domain/errors.ts';

/** Some tenth of a second and 64 MB for each guess. */
const cost = { N: 2 ** 16, r: 8, p: 1, maxmem: 2 ** 27 };
const derive = promisify<string, Buffer, number, typeof cost, Buffer>(scrypt);

/** Salt, nonce, tag and what is sealed, one after the other. */
export async function seal(text: string, passphrase: string): Promise<Buffer> {
  const [salt, nonce] = [randomBytes(16), randomBytes(12)];
  const cipher = createCipheriv('aes-256-gcm', await derive(passphrase, salt, 32, cost), nonce);
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([salt, nonce, cipher.getAuthTag(), sealed]);
}

export async function unseal(sealed: Buffer, passphrase: string): Promise<string> {
  const [salt, nonce, tag] = [sealed.subarray(0, 16), sealed.subarray(16, 28), sealed.subarray(28, 44)];
  const key = await derive(passphrase, salt, 32, cost);
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
    decipher.setAuthTag(tag);
    return Buffer.concat([decipher.update(sealed.subarray(44)), decipher.final()]).toString('utf8');
  } catch {
    throw new Unusable('wrong-passphrase', 'NIGHTSHIFT_BACKUP_PASSPHRASE does not open the secrets of this backup.');
  }
}
