import type { Clock } from '../platform/clock.ts';
import type { AlertChannel } from './alert-channel.ts';

/** At most so many messages a minute; the others wait their turn. An alarm that rings without end is not heard any more. */
export function limited(channel: AlertChannel, perMinute: number, clock: Clock): AlertChannel {
  const sent: number[] = [];
  return {
    ...channel,
    async send(message, signal) {
      const now = clock.monotonic();
      while (sent[0] !== undefined && sent[0] <= now - 60_000) sent.shift();
      const [oldest] = sent;
      if (oldest !== undefined && sent.length >= perMinute) {
        const afterMs = oldest + 60_000 - now;
        const why = `No more than ${perMinute} messages a minute go out through ${channel.name}.`;
        return { kind: 'retry', code: 'rate-limit', message: why, afterMs, doubtful: false, wholeChannel: true };
      }
      sent.push(now);
      return channel.send(message, signal);
    },
  };
}
