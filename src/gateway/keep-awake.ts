import type { Clock } from '../platform/clock.ts';

/** As long as this an answer may be awaited in silence: then it still has a status of its own. */
const silenceMs = 60_000;
/** An agent's program gives up on a connection that is silent for five minutes, whatever time-out it was given. */
const pingMs = 20_000;

/**
 * Keeps an agent on the line whose streamed answer is long in coming: after a minute of silence the stream begins with
 * pings, which the API allows at any place, and goes on with the answer when there is one. A refusal is then an error
 * in the stream, because the status is spent; that is why it does not begin at once.
 */
export async function keptAwake(asked: Promise<Response>, clock: Clock): Promise<Response> {
  let cancelTimer = (): void => undefined;
  const tired = new Promise<undefined>((resolve) => {
    cancelTimer = clock.after(silenceMs, () => resolve(undefined));
  });
  const soon = await Promise.race([asked, tired]).finally(() => cancelTimer());
  return soon ?? new Response(pingsThen(asked, clock), { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
}

function pingsThen(asked: Promise<Response>, clock: Clock): ReadableStream<Uint8Array> {
  let rest: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let gone = false;
  const answered = asked.then(async (response) => {
    rest = (await asEvents(response)).getReader();
    if (gone) await rest.cancel();
  });
  answered.catch(() => undefined); // heard by whoever reads, if anybody does
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (!rest && !(await arrived(answered, clock))) return controller.enqueue(ping);
        const { done, value } = (await rest?.read()) ?? { done: true, value: undefined };
        if (value) controller.enqueue(value);
        if (done) controller.close();
      },
      async cancel(reason) {
        gone = true;
        await rest?.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** Whether the answer has come, or else it is time for a sign of life. */
async function arrived(answered: Promise<void>, clock: Clock): Promise<boolean> {
  let cancelTimer = (): void => undefined;
  const due = new Promise<false>((resolve) => {
    cancelTimer = clock.after(pingMs, () => resolve(false));
  });
  return Promise.race([answered.then(() => true as const), due]).finally(() => cancelTimer());
}

const ping = new TextEncoder().encode('event: ping\ndata: {"type":"ping"}\n\n');

async function asEvents(response: Response): Promise<ReadableStream<Uint8Array>> {
  if (response.ok && response.body) return response.body;
  return new Blob([`event: error\ndata: ${JSON.stringify(await response.json())}\n\n`]).stream();
}
