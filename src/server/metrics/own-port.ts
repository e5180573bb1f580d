import { timingSafeEqual } from 'node:crypto';
import { Refused } from '../../domain/errors.ts';
import type { NewId } from '../../platform/ids.ts';
import type { Log } from '../../platform/log.ts';
import type { AddressOf } from '../access/address.ts';
import { orWait } from '../access/auth.ts';
import { digestOf } from '../access/caller.ts';
import type { Guesses } from '../access/guesses.ts';
import { begin } from '../begin.ts';
import type { App } from '../env.ts';
import { problem, problemOf } from '../problem.ts';
import { newRouter } from '../router.ts';
import { metricsRoutes } from '../routes/metrics.ts';
import type { Metrics } from './metrics.ts';

interface OwnPortParts {
  readonly metrics: Metrics;
  readonly token: string;
  readonly guesses: Guesses;
  readonly addressOf: AddressOf;
  readonly newId: NewId;
  readonly log: Log;
}

/** What is served at a port of its own to whoever scrapes: the figures alone, for a token that opens nothing else. */
export function metricsApp({ metrics, token, guesses, addressOf, newId, log }: OwnPortParts): App {
  const app = newRouter();
  const wanted = Buffer.from(digestOf(token));
  app.onError((error, context) => problemOf(context, error, log));
  app.notFound((context) =>
    problem(context, { status: 404, code: 'no-such-route', detail: 'Here is GET /metrics alone; the API has another port.' }),
  );
  app.use(async (context, next) => {
    begin(context, newId);
    const shown = digestOf(/^Bearer +(\S+)$/i.exec(context.req.header('authorization') ?? '')?.[1] ?? '');
    const { counted } = addressOf(context);
    orWait(context, guesses.waitMs(counted, shown), 'wrong tries');
    if (!timingSafeEqual(Buffer.from(shown), wanted)) {
      guesses.wrong(counted, shown);
      context.header('www-authenticate', 'Bearer');
      throw new Refused(401, 'wrong-key', 'Send the token that METRICS_TOKEN names as "Authorization: Bearer …".');
    }
    guesses.right(counted, shown);
    await next();
  });
  app.route('/', metricsRoutes({ metrics }));
  return app;
}
