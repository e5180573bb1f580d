import { createHmac, timingSafeEqual } from 'node:crypto';

/** So far may a sender's clock be from ours; what is older may be a delivery that somebody has kept. */
const toleranceMs = 5 * 60_000;

export type Verdict = { readonly ok: true } | { readonly ok: false; readonly code: string; readonly message: string };

/** An HMAC-SHA256 of the body, in hexadecimal. */
export function signsBody(secret: string, body: Buffer, given: string | undefined, header: string): Verdict {
  if (given === undefined) return missing(header);
  const claimed = Buffer.from(given.replace(/^sha256=/i, ''), 'hex');
  return equal(createHmac('sha256', secret).update(body).digest(), claimed) ? { ok: true } : wrong;
}

/** Of `id.timestamp.body`; one of several signatures will do, so that secrets can be changed. */
export function signsStandard(
  key: Buffer,
  { id, timestamp, signatures }: Readonly<Record<'id' | 'timestamp' | 'signatures', string | undefined>>,
  body: Buffer,
  now: number,
): Verdict {
  if (id === undefined || timestamp === undefined || signatures === undefined) {
    return missing('webhook-id, webhook-timestamp and webhook-signature');
  }
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
  const claimed = signatures.split(' ').flatMap((each) => /^v1,(.{1,100})$/.exec(each)?.[1] ?? []);
  if (!claimed.some((each) => equal(expected, Buffer.from(each, 'base64')))) return wrong;
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(Number(timestamp) * 1_000 - now) > toleranceMs) {
    return {
      ok: false,
      code: 'wrong-time',
      message: `It is signed for a time that is more than ${toleranceMs / 60_000} minutes from ours. Set the clocks on both sides, or send it anew.`,
    };
  }
  return { ok: true };
}

const equal = (expected: Buffer, claimed: Buffer): boolean => claimed.length === expected.length && timingSafeEqual(claimed, expected);

const missing = (header: string): Verdict => ({ ok: false, code: 'missing-signature', message: `The delivery carries no ${header}.` });

const wrong: Verdict = {
  ok: false,
  code: 'wrong-signature',
  message: 'The signature does not fit the content. Check that both sides have the same secret.',
};
