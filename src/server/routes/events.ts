import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { Refused } from '../../domain/errors.ts';
import type { JournalEvent, Position } from '../../domain/event.ts';
import { isRunOver } from '../../domain/run.ts';
import { beginning, comparePositions, endOf, latest, parsePosition, positionBeforeLast, readAfter } from '../../store/journal.ts';
import { findRun } from '../../store/runs.ts';
import type { App, AppEnv } from '../env.ts';
import { requireId } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers } from '../responses.ts';
import { newRouter } from '../router.ts';
import { eventView } from '../views.ts';

/** A comment at this pace keeps proxies from closing a quiet stream, and shows us clients that are gone. */
const heartbeatMs = 15_000;
/** What goes out in one piece. A client that does not read holds one such piece in memory, and there may be a thousand of them. */
const chunkChars = 64 * 1024;
const firstPage = 64;
const pageLimit = 500;

const streamed = (description: string) => ({ description, content: { 'text/event-stream': { schema: z.string() } } });
const followSchema = z
  .enum(['true', 'false'])
  .optional()
  .openapi({ description: 'With `false` the stream ends when everything so far has been sent. Default: `true`.' });
const resume = z.object({ 'last-event-id': z.string().max(100).optional().openapi({ description: 'Go on after this event.' }) });

export function eventRoutes(parts: ServerParts): App {
  const { store, feed } = parts;
  const router = newRouter();

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
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
          follow: followSchema,
        }),
      },
      responses: { 200: streamed('The stream.'), ...answers(400, 401, 404, 503) },
    }),
    async (context) => {
      const { after, task, follow } = context.req.valid('query');
      const taskId = task === undefined ? undefined : requireId('task', task);
      const from =
        (await startOf(parts, context.req.valid('header')['last-event-id'] ?? after)) ?? (taskId === undefined ? feed.end : beginning);
      return stream(context, parts, { from, filter: { taskId }, follow: follow !== 'false' });
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/runs/{id}/events',
      tags: ['Events'],
      summary: 'What one run does, from its beginning, as server-sent events',
      description:
        'The stream ends after `run.finished`. A client that comes back after that one gets 204, which tells an EventSource to stop.',
      request: {
        params: z.object({ id: z.string() }),
        headers: resume,
        query: z.strictObject({
          after: z.string().max(100).optional(),
          last: z.coerce.number().int().min(1).max(1_000).optional().openapi({
            description: 'Without a position to go on from: begin so many events before the newest one.',
          }),
          follow: followSchema,
        }),
      },
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
      const { after, last, follow } = context.req.valid('query');
      const from =
        (await startOf(parts, context.req.valid('header')['last-event-id'] ?? after)) ??
        (last === undefined ? beginning : await positionBeforeLast(store, runId, last));
      const end = isRunOver(run.status) ? await endOf(store, runId) : undefined;
      if (end !== undefined && comparePositions(from, end) >= 0) return context.body(null, 204);
      return stream(context, parts, {
        from,
        filter: { runId },
        follow: follow !== 'false',
        endsAt: (event) => event.type === 'run.finished',
      });
    },
  );
  return router;
}

interface Watch {
  readonly from: Position;
  readonly filter: { readonly taskId?: string | undefined; readonly runId?: string | undefined };
  /** False: what has happened up to now is all that is wanted. */
  readonly follow: boolean;
  readonly endsAt?: (event: JournalEvent) => boolean;
}

/** Pulls at the client's pace: nothing is read from the journal for a client whose socket is full. */
function stream(
  context: Context<AppEnv>,
  { store, feed, clock, isStopping, streams }: ServerParts,
  { from, filter, follow, endsAt }: Watch,
): Response {
  const gone = new AbortController();
  const credential = context.get('credential');
  let turnedOut = false;
  let leave = (): void => undefined;
  const matches = (event: JournalEvent): boolean =>
    (filter.taskId === undefined || event.taskId === filter.taskId) && (filter.runId === undefined || event.runId === filter.runId);
  const narrow = filter.taskId !== undefined || filter.runId !== undefined;
  const until = follow ? undefined : feed.end;
  let position = from;
  let opened = false;
  let page = firstPage;
  let spokeAt = clock.monotonic();

  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (!opened) {
          opened = true;
          if (credential) leave = streams.whileAdmitted(credential, turnOut);
          controller.enqueue(encoder.encode(': nightshift\nretry: 1000\n\n'));
          return;
        }
        try {
          for (;;) {
            if (turnedOut) return finish(controller);
            if (gone.signal.aborted) return;
            if (until !== undefined && comparePositions(position, until) >= 0) return finish(controller);
            const { events, upTo } = await nextEvents();
            const sent = piece(events);
            position = sent.length < events.length ? (sent.at(-1)?.id ?? position) : upTo;
            if (sent.length > 0) {
              // As much again as could be sent: long events are read a few at a time, short ones by the hundred.
              page = Math.min(pageLimit, 2 * sent.length);
              spokeAt = clock.monotonic();
              controller.enqueue(bytesOf(sent, narrow));
              if (endsAt && sent.some(endsAt)) finish(controller);
              return;
            }
            if (isStopping()) return finish(controller);
            const quietMs = clock.monotonic() - spokeAt;
            if (quietMs >= heartbeatMs) {
              spokeAt = clock.monotonic();
              return controller.enqueue(encoder.encode(': still here\n\n'));
            }
            await feed.changed(position, heartbeatMs - quietMs, gone.signal);
          }
        } catch (error) {
          // The client reconnects with its last position and goes on when the store answers again.
          leave();
          controller.error(error);
        }
      },
      cancel() {
        leave();
        gone.abort();
      },
    },
    { highWaterMark: 0 },
  );

  /** The credential that opened it is nobody's any more. */
  function turnOut(): void {
    turnedOut = true;
    gone.abort();
  }

  function finish(controller: ReadableStreamDefaultController<Uint8Array>): void {
    leave();
    controller.close();
  }

  /** Far behind, a narrow watch asks its own index; near the end, everyone shares what the feed has at hand. */
  async function nextEvents(): Promise<{ readonly events: readonly JournalEvent[]; readonly upTo: Position }> {
    if (narrow && !feed.holds(position)) {
      const end = feed.end;
      const events = await readAfter(store, position, page, filter);
      const last = events.at(-1)?.id ?? position;
      return { events, upTo: events.length === page || comparePositions(last, end) > 0 ? last : end };
    }
    const { events, position: upTo } = await feed.next(position, matches, page);
    return { events, upTo };
  }

  const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
  // A live stream has to arrive event by event; what has happened is read whole, and shrinks to a tenth.
  if (follow || !/\bgzip\b(?!;\s*q=0(?:\.0*)?\s*(?:,|$))/.test(context.req.header('accept-encoding') ?? ''))
    return context.body(body, 200, headers);
  return context.body(body.pipeThrough(new CompressionStream('gzip')), 200, {
    ...headers,
    'content-encoding': 'gzip',
    vary: 'accept-encoding',
  });
}

/** The first of the events that fit into one piece, and at least one. */
function piece(events: readonly JournalEvent[]): readonly JournalEvent[] {
  let chars = 0;
  const end = events.findIndex((event) => {
    chars += message(event).length;
    return chars > chunkChars;
  });
  return end === -1 ? events : events.slice(0, Math.max(1, end));
}

/** Watchers near the end share the feed's events, and so what those look like on the wire. */
const messages = new WeakMap<JournalEvent, string>();

function message(event: JournalEvent): string {
  let text = messages.get(event);
  if (text === undefined) {
    text = `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(eventView(event))}\n\n`;
    messages.set(event, text);
  }
  return text;
}

const encoder = new TextEncoder();
let shared: { readonly first: JournalEvent; readonly last: JournalEvent; readonly bytes: Uint8Array } | undefined;

/** Whoever watches everything is woken with all the others and sent the same: a thousand of them share one copy. */
function bytesOf(sent: readonly JournalEvent[], narrow: boolean): Uint8Array {
  const [first, last] = [sent[0] as JournalEvent, sent.at(-1) as JournalEvent];
  if (narrow) return encoder.encode(sent.map(message).join(''));
  if (shared?.first !== first || shared.last !== last) shared = { first, last, bytes: encoder.encode(sent.map(message).join('')) };
  return shared.bytes;
}

/** A position after the journal's end comes from another journal, or from before a backup was restored: waiting there would miss events. */
async function startOf({ store, feed }: ServerParts, given: string | undefined): Promise<Position | undefined> {
  if (given === undefined) return undefined;
  const known = parsePosition(given) && (comparePositions(given, feed.end) <= 0 || comparePositions(given, await latest(store)) <= 0);
  if (known) return given;
  throw new Refused(400, 'bad-position', 'Last-Event-ID is not a position of this journal. Leave it out to begin anew.');
}
