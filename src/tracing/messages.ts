import type { Message } from '../domain/mail.ts';
import type { Channel, Sending } from '../outbox/channel.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { placeOf, type TaskOrigin } from './runs.ts';
import { newSpanId, newTraceId, type Sampled, type Span, type SpanContext } from './trace.ts';

interface MessageSpansParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly sampled: Sampled;
  readonly emit: (span: Span) => void;
  readonly originOf: (taskId: string) => Promise<TaskOrigin | undefined>;
}

/** Each try to send a message, below its task; of one without a task, in a trace of its own. Neither text nor recipient is told. */
export function tracedChannels({ clock, log, sampled, emit, originOf }: MessageSpansParts): (channel: Channel) => Channel {
  async function told(message: Message, result: Sending, startMs: number, durationMs: number): Promise<void> {
    const above = await placed(message.taskId);
    if (!above.sampled) return;
    emit({
      ...{ traceId: above.traceId, spanId: newSpanId(), sampled: true, parentId: above.spanId },
      name: `send ${message.channel}`,
      kind: 'client',
      startMs,
      endMs: startMs + durationMs,
      failed: result.kind !== 'sent',
      attributes: {
        'nightshift.message.id': message.id,
        'nightshift.message.kind': message.kind,
        'nightshift.message.attempt': message.attempts,
        'nightshift.message.result': result.kind,
        'nightshift.task.id': message.taskId ?? null,
        'error.type': result.kind === 'sent' ? null : result.code,
      },
    });
  }

  async function placed(
    taskId: string | null | undefined,
  ): Promise<Pick<SpanContext, 'traceId' | 'sampled'> & { readonly spanId: string | null }> {
    const origin = taskId ? await originOf(taskId) : undefined;
    if (taskId && origin) return placeOf(taskId, origin, sampled).task;
    const traceId = newTraceId();
    return { traceId, spanId: null, sampled: sampled(traceId, undefined) };
  }

  return (channel) => ({
    ...channel,
    async send(message, signal) {
      const startMs = clock.now();
      const since = clock.monotonic();
      const result = await channel.send(message, signal);
      // Beside the message, which is not to wait for it.
      told(message, result, startMs, clock.monotonic() - since).catch((error: unknown) =>
        log.debug({ err: error }, 'a message was not traced'),
      );
      return result;
    },
  });
}
