import type { Context } from 'hono';
import { Refused } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { rateLimit } from './access/limits.ts';
import type { AppEnv } from './env.ts';

export interface BodyLimits {
  /** Up to here a body waits for nobody, and counts for nothing. */
  readonly small: number;
  readonly longest: number;
  /** For all large ones at the same time: each is in memory from its first byte until it is on disk. */
  readonly room: number;
  /** The part of the room that one address may take. */
  readonly share: number;
  /** A body that is not there by then is not waited for. */
  readonly withinMs: number;
}

/** Reads what a stranger sends, and hands it on. If `use` refuses it, it was a waste of the room that it took. */
export type TakeBody = <T>(context: Context<AppEnv>, address: string, use: (body: Buffer) => Promise<T>) => Promise<T>;

/** Large bodies that came to nothing, of one address in a minute. */
const wastesPerMinute = 2;

/**
 * The bodies of deliveries are read before anybody can know whether they are signed, so nobody may keep others out with
 * them: they have to come soon, one address gets a share of the room only, and none for a while after wasting it.
 */
export function takeBodies(clock: Clock, { small, longest, room, share, withinMs }: BodyLimits): TakeBody {
  let held = 0;
  const heldBy = new Map<string, number>();
  const wastes = rateLimit(clock, wastesPerMinute);

  /** Room for so much, or a refusal. Whoever gets it gives it back. */
  function enter(context: Context<AppEnv>, address: string, size: number): () => void {
    const own = heldBy.get(address) ?? 0;
    const full = held + size > room || own + size > share;
    if (full || wastes.waitMs(address) > 0) throw tooMuch(context, full ? 5_000 : wastes.waitMs(address));
    held += size;
    heldBy.set(address, own + size);
    return () => {
      held -= size;
      const left = (heldBy.get(address) ?? 0) - size;
      if (left > 0) heldBy.set(address, left);
      else heldBy.delete(address);
    };
  }

  /** Whoever is late is told so and cut off, which ends the reading as well. */
  function soon(context: Context<AppEnv>, reading: Promise<Buffer>): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const cancel = clock.after(withinMs, () => {
        context.header('connection', 'close');
        reject(new Refused(408, 'too-slow', `A delivery has to arrive within ${withinMs / 1_000} s. Nothing was stored.`));
      });
      reading.then(resolve, (error: unknown) => reject(error instanceof Refused ? error : cutOff())).finally(cancel);
    });
  }

  return async (context, address, use) => {
    let leave: (() => void) | undefined;
    let over = false;
    try {
      const size = announced(context);
      if (size !== undefined && size > longest) throw tooLong(context, longest);
      if (size !== undefined && size > small) leave = enter(context, address, size);
      const reading =
        size !== undefined && size <= small
          ? context.req.raw.arrayBuffer().then((bytes) => Buffer.from(bytes))
          : inPieces(context.req.raw, (sofar) => {
              if (over) throw cutOff();
              if (sofar > longest) throw tooLong(context, longest);
              if (sofar > small) leave ??= enter(context, address, longest);
            });
      return await use(await soon(context, reading));
    } catch (error) {
      if (leave && error instanceof Refused) wastes.take(address);
      throw error;
    } finally {
      over = true;
      leave?.();
    }
  };
}

/** Undefined when it is not said beforehand. */
const announced = ({ req }: Context<AppEnv>): number | undefined =>
  req.header('transfer-encoding') === undefined ? Number(req.header('content-length') ?? 0) : undefined;

async function inPieces({ body }: Request, come: (size: number) => void): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body ?? []) {
    size += piece.length;
    come(size);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function tooMuch(context: Context<AppEnv>, waitMs: number): Refused {
  context.header('retry-after', String(Math.ceil(waitMs / 1_000)));
  context.header('connection', 'close');
  return new Refused(
    503,
    'too-much-at-once',
    'Too many large deliveries come at the same time, or those of this address came to nothing. Nothing was stored. Send it again later.',
  );
}

function tooLong(context: Context<AppEnv>, longest: number): Refused {
  context.header('connection', 'close');
  return new Refused(413, 'body-too-large', `A delivery may have at most ${longest / (1024 * 1024)} MiB.`);
}

/** Told to nobody, as a rule: whoever sent it hung up. */
const cutOff = (): Refused => new Refused(400, 'body-cut-off', 'The delivery ended before it was whole. Nothing was stored.');
