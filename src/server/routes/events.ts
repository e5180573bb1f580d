import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { Refused } from '../../domain/errors.ts';
import type { JournalEvent, Position } from '../../domain/event.ts';
import { isRunOver } from '../../domain/run.ts';
import { beginning, comparePositions, parsePosition, readAfter } from '../../store/journal.ts';
import { findRun } from '../../store/runs.ts';
import type { App, AppEnv } from '../env.ts';
import { requireId } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers } from '../responses.ts';
import { newRouter } from '../router.ts';
import { eventView } from '../views.ts';

/** A comment at this pace keeps proxies from closing a quiet stream, and shows us clients that are gone. */
const heartbeatMs = 15_000;
const pageLimit = 500;

const streamed = (description: string) => ({ description, content: { 'text/event-stream': { schema: z.string() } } });
const resume = z.object({ 'last-event-id': z.string().max(100).optional().openapi({ description: 'Go on after this event.' }) });

export function eventRoutes(parts: ServerParts): App {
  const { store, feed } = parts;
  const router = newRouter();

  router.openapi(
    createRoute({
      method: 'get',
      path: '/events',
      tags: ['Events'],
      summary: 'Everything that happens, as server-sent events',
      description:
        'Without Last-Event-ID the stream begins now; with `after=0` it begins at the beginning. Each message has the event as JSON in `data` and its position in `id`.',
      request: {
        headers: resume,
        query: z.strictObject({
          after: z.string().max(100).optional().openapi({ description: 'Like Last-Event-ID, for clients that cannot set headers.' }),
          task: z.string().max(100).optional().openapi({ description: 'Only events of this task.' }),
        }),
      },
      responses: { 200: streamed('The stream.'), ...answers(400, 401, 404, 503) },
    }),
    async (context) => {
      const { after, task } = context.req.valid('query');
      const taskId = task === undefined ? undefined : requireId('task', task);
      const from = startOf(context.req.valid('header')['last-event-id'] ?? after) ?? (taskId === undefined ? feed.end : beginning);
      return stream(context, parts, { from, filter: { taskId } });
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/runs/{id}/events',
      tags: ['Events'],
      summary: 'What one run does, from its beginning, as server-sent events',
      description:
        'The stream ends after `run.finished`. A client that comes back after that one gets 204, which tells an EventSource to stop.',
      request: { params: z.object({ id: z.string() }), headers: resume, query: z.strictObject({ after: z.string().max(100).optional() }) },
      responses: {
        200: streamed('The stream.'),
        204: { description: 'The run is over and everything was sent.' },
        ...answers(400, 401, 404, 503),
      },
    }),
    async (context) => {
      const runId = requireId('run', context.req.valid('param').id);
      const run = await findRun(store.read, runId);
      if (!run) throw new Refused(404, 'no-such-run', `There is no run ${runId}.`);
      const from = startOf(context.req.valid('header')['last-event-id'] ?? context.req.valid('query').after) ?? beginning;
      if (isRunOver(run.status) && from !== beginning && (await readAfter(store, from, 1, { runId })).length === 0)
        return context.body(null, 204);
      return stream(context, parts, { from, filter: { runId }, endsAt: (event) => event.type === 'run.finished' });
    },
  );
  return router;
}

interface Watch {
  readonly from: Position;
  readonly filter: { readonly taskId?: string | undefined; readonly runId?: string | undefined };
  readonly endsAt?: (event: JournalEvent) => boolean;
}

/** Pulls at the client's pace: nothing is read from the journal for a client whose socket is full. */
function stream(context: Context<AppEnv>, { store, feed, isStopping }: ServerParts, { from, filter, endsAt }: Watch): Response {
  const gone = new AbortController();
  const encoder = new TextEncoder();
  const matches = (event: JournalEvent): boolean =>
    (filter.taskId === undefined || event.taskId === filter.taskId) && (filter.runId === undefined || event.runId === filter.runId);
  const narrow = filter.taskId !== undefined || filter.runId !== undefined;
  let position = from;
  let opened = false;
  let history = narrow;

  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (!opened) {
          opened = true;
          controller.enqueue(encoder.encode(': nightshift\nretry: 1000\n\n'));
          return;
        }
        try {
          for (;;) {
            if (gone.signal.aborted) return;
            const { events, upTo } = await nextEvents();
            position = upTo;
            if (events.length > 0) {
              controller.enqueue(encoder.encode(events.map(message).join('')));
              if (endsAt && events.some(endsAt)) controller.close();
              return;
            }
            if (isStopping()) return controller.close();
            if (comparePositions(feed.end, position) > 0) continue;
            const before = feed.end;
            await feed.changed(position, heartbeatMs, gone.signal);
            if (feed.end === before && !gone.signal.aborted && !isStopping()) return controller.enqueue(encoder.encode(': still here\n\n'));
          }
        } catch (error) {
          // The client reconnects with its last position and goes on when the store answers again.
          controller.error(error);
        }
      },
      cancel: () => gone.abort(),
    },
    { highWaterMark: 0 },
  );

  /** Far behind, a narrow watch asks its own index; near the end, everyone shares what the feed has at hand. */
  async function nextEvents(): Promise<{ readonly events: readonly JournalEvent[]; readonly upTo: Position }> {
    if (history) {
      const end = feed.end;
      const events = await readAfter(store, position, pageLimit, filter);
      const last = events.at(-1)?.id ?? position;
      history = events.length === pageLimit;
      return { events, upTo: history || comparePositions(last, end) > 0 ? last : end };
    }
    const { events, position: upTo } = await feed.next(position, matches);
    return { events, upTo };
  }

  return context.body(body, 200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
}

function message(event: JournalEvent): string {
  return `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(eventView(event))}\n\n`;
}

function startOf(given: string | undefined): Position | undefined {
  if (given === undefined) return undefined;
  if (parsePosition(given)) return given;
  throw new Refused(400, 'bad-position', 'Last-Event-ID is not a position of this journal. Leave it out to begin anew.');
}
