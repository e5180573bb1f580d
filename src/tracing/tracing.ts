import type { JournalEvent } from '../domain/event.ts';
import type { Sampler } from '../domain/sampler.ts';
import type { LedgerEntry } from '../domain/spending.ts';
import type { Channel } from '../outbox/channel.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Store } from '../store/store.ts';
import { traceOriginsOf } from '../store/traces.ts';
import { exportSpans } from './export.ts';
import { tracedChannels } from './messages.ts';
import { type Delivery, spansOfRuns } from './runs.ts';
import { newSpanId, newTraceId, parentIn, type SpanContext, samplerOf, traceparentOf } from './trace.ts';

/**
 * Tells an OpenTelemetry collector what takes how long: requests, and tasks with all that happens in their runs. Ids, names
 * and figures alone; no bodies, no outputs. Spans of runs are read from the journal, so nothing that is traced knows of it.
 * Nothing here throws, and nothing waits for the collector.
 */
export interface Tracing {
  /** Told of each event of the journal, once, in order. Rejects when the store does; the same events come again then. */
  observe(events: readonly JournalEvent[]): Promise<void>;
  booked(entry: LedgerEntry): void;
  delivered(delivery: Delivery): void;
  /** A request begins, in the trace of whoever sent it, or in one of its own; which, is asked when somebody wants to know. */
  request(parent: () => string | undefined): RequestSpan;
  /** The same channel; what is sent through it is told. */
  through(channel: Channel): Channel;
  /** Sends what is left, for a few seconds at most. */
  stop(): Promise<void>;
}

interface RequestSpan {
  /** What is asked for by this request belongs below it. */
  readonly traceparent: string;
  end(answer: { readonly method: string; readonly route: string | null; readonly status: number }): void;
}

export interface TracingParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly node: string;
  readonly version: string;
  readonly settings: TracingSettings;
}

interface TracingSettings {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly resource: Readonly<Record<string, string>>;
  readonly sampler: Sampler;
  readonly ratio: number;
}

export function startTracing({ store, clock, log, node, version, settings }: TracingParts): Tracing {
  const { url, headers, serviceName, resource } = settings;
  const exporter = exportSpans({
    ...{ url, headers, clock, log, version },
    resource: { ...resource, 'service.name': serviceName, 'service.version': version, 'service.instance.id': node },
  });
  const sampled = samplerOf(settings.sampler, settings.ratio);
  const originsOf = (taskIds: readonly string[]) => traceOriginsOf(store.read, taskIds);
  const originOf = async (taskId: string) => (await originsOf([taskId])).get(taskId);
  const runs = spansOfRuns({ node, sampled, emit: exporter.add, originsOf });
  return {
    ...runs,
    request(parentOf) {
      const began = clock.now();
      const since = clock.monotonic();
      let known: { readonly parent: SpanContext | undefined; readonly own: SpanContext } | undefined;
      const stands = () => {
        if (known) return known;
        const parent = parentIn(parentOf());
        const traceId = parent?.traceId ?? newTraceId();
        known = { parent, own: { traceId, spanId: newSpanId(), sampled: sampled(traceId, parent) } };
        return known;
      };
      return {
        get traceparent() {
          return traceparentOf(stands().own);
        },
        end({ method, route, status }) {
          const { own, parent } = stands();
          if (!own.sampled) return;
          exporter.add({
            ...own,
            parentId: parent?.spanId ?? null,
            name: route ?? method,
            kind: 'server',
            startMs: began,
            endMs: began + clock.monotonic() - since,
            failed: status >= 500,
            attributes: {
              'http.request.method': method,
              'http.route': route?.split(' ')[1] ?? null,
              'http.response.status_code': status,
            },
          });
        },
      };
    },
    through: tracedChannels({ clock, log, sampled, emit: exporter.add, originOf }),
    stop: exporter.stop,
  };
}
