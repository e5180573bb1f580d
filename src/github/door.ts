import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Admission, Door } from '../inbox/source.ts';

export const githubSource = 'github';

/**
 * Lets in what carries GitHub's signature and nothing else. The time of sending is not looked at, since GitHub signs none:
 * a repetition is recognised by its delivery id, and one under another id, which is not signed either, by its content.
 */
export function githubDoor(secret: string): Door {
  return {
    source: githubSource,
    admit(header, body) {
      const signature = header('x-hub-signature-256');
      if (signature === undefined) return refused(401, 'missing-signature', 'The delivery carries no x-hub-signature-256.');
      if (!isSignedBy(secret, body, signature)) {
        return refused(401, 'wrong-signature', 'The signature does not fit the content. Check that the secret is the same on both sides.');
      }
      const type = (header('content-type') ?? '').split(';')[0]?.trim().toLowerCase();
      if (type !== 'application/json' && type !== 'application/x-www-form-urlencoded') {
        return refused(415, 'not-json', 'Set the content type of the webhook to application/json.');
      }
      const key = header('x-github-delivery') ?? '';
      const kind = header('x-github-event') ?? '';
      if (!/^[\w-]{1,100}$/.test(key)) return refused(400, 'no-delivery-id', 'The delivery carries no usable x-github-delivery.');
      if (!/^[a-z0-9_]{1,60}$/.test(kind)) return refused(400, 'no-event', 'The delivery carries no usable x-github-event.');
      return { ok: true, key, kind, headers: { 'content-type': type }, onceByContent: true };
    },
  };
}

function isSignedBy(secret: string, body: Buffer, signature: string): boolean {
  const expected = Buffer.from(`sha256=${createHmac('sha256', secret).update(body).digest('hex')}`);
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

const refused = (status: 400 | 401 | 415, code: string, message: string): Admission => ({ ok: false, status, code, message });
