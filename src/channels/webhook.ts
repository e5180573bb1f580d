import { createHmac } from 'node:crypto';
import type { Notice } from '../domain/notice.ts';
import type { Clock } from '../platform/clock.ts';
import type { AlertChannel } from './alert-channel.ts';
import { answers, post } from './post.ts';

/**
 * Any address that takes JSON. The same message always has the same idempotency key, and where a secret is shared, the body
 * is signed as `sha256=HMAC` over its bytes.
 */
export function webhookChannel({
  url,
  secret,
  clock,
}: {
  readonly url: string;
  readonly secret?: string | undefined;
  readonly clock: Clock;
}): AlertChannel {
  return {
    name: 'webhook',
    reach: (signal) => answers({ url, service: 'The web hook' }, signal),
    send({ key, revision, body }, signal) {
      const { severity, title, text, resolved, at } = body as Notice;
      const content = JSON.stringify({ key, severity, title, text, resolved, at: new Date(at).toISOString() });
      const headers = {
        'idempotency-key': `${key}#${revision}`,
        ...(secret === undefined
          ? {}
          : { 'x-nightshift-signature': `sha256=${createHmac('sha256', secret).update(content).digest('hex')}` }),
      };
      return post({ url, service: 'The web hook', clock }, { headers, body: content }, signal);
    },
  };
}
