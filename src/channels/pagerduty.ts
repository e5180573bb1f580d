import { headline, type Notice } from '../domain/notice.ts';
import type { Clock } from '../platform/clock.ts';
import type { AlertChannel } from './alert-channel.ts';
import { answers, post } from './post.ts';

/** PagerDuty's Events API v2. The key of the message is its dedup key, so saying it twice is saying it once. */
export function pagerDutyChannel({
  routingKey,
  source,
  clock,
  url = 'https://events.pagerduty.com/v2/enqueue',
}: {
  readonly routingKey: string;
  /** Which Nightshift speaks. */
  readonly source: string;
  readonly clock: Clock;
  readonly url?: string | undefined;
}): AlertChannel {
  return {
    name: 'pagerduty',
    reach: (signal) => answers({ url, service: 'PagerDuty' }, signal),
    send({ key, body }, signal) {
      const notice = body as Notice;
      const event = {
        routing_key: routingKey,
        dedup_key: key.slice(0, 255),
        event_action: notice.resolved ? 'resolve' : 'trigger',
        payload: {
          summary: headline(notice).slice(0, 1_024),
          severity: notice.severity,
          source,
          timestamp: new Date(notice.at).toISOString(),
          custom_details: { text: notice.text.slice(0, 10_000) },
        },
      };
      return post({ url, service: 'PagerDuty', clock }, { body: JSON.stringify(event) }, signal);
    },
  };
}
