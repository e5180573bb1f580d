import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import { listAlerts, silence, silences, unsilence } from '../../store/alerts.ts';
import { append } from '../../store/journal.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { alertsSchema, silenceSchema } from '../views/alerts.ts';

const tags = ['Alerts'];
const iso = (at: number): string => new Date(at).toISOString();
const nameParam = z.object({ name: z.string().openapi({ example: 'dead-letters' }) });

export function alertRoutes(parts: ServerParts): App {
  const { store, clock, alertNames } = parts;
  const router = newRouter();

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/alerts',
      tags,
      summary: 'What is wrong now, what is silenced, and who is told',
      responses: {
        200: json(alertsSchema, 'Alerts, the newest first.'),
        ...answers(401, 503),
      },
    }),
    async (context) => {
      return context.json(await alertsView(parts), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'put',
      'x-role': 'operator',
      path: '/alerts/{name}/silence',
      tags,
      summary: 'Tell nobody of this for a while; what still stands when that is over is told then',
      request: {
        params: nameParam,
        body: { required: true, content: { 'application/json': { schema: z.strictObject({ minutes: z.int().min(1).max(43_200) }) } } },
      },
      responses: { 200: json(silenceSchema, 'Silenced.'), ...answers(400, 401, 404, 413, 415, 503) },
    }),
    async (context) => {
      const name = known(context.req.valid('param').name);
      const by = context.get('user');
      const until = clock.now() + context.req.valid('json').minutes * 60_000;
      await store.write(async (tx) => {
        await silence(tx, { name, until, by });
        await append(tx, [{ type: 'alert.silenced', data: { name, until, by } }], clock.now());
      });
      return context.json({ name, until: iso(until), by }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      'x-role': 'operator',
      path: '/alerts/{name}/silence',
      tags,
      summary: 'End a silence',
      request: { params: nameParam },
      responses: { 204: { description: 'It is told again.' }, ...answers(401, 404, 503) },
    }),
    async (context) => {
      const name = known(context.req.valid('param').name);
      await store.write(async (tx) => {
        await unsilence(tx, name);
        await append(tx, [{ type: 'alert.silenced', data: { name, until: null, by: context.get('user') } }], clock.now());
      });
      return context.body(null, 204);
    },
  );

  function known(name: string): string {
    if (alertNames.includes(name)) return name;
    throw new Refused(404, 'no-such-alert', `There is no alert ${JSON.stringify(name.slice(0, 60))}. There are: ${alertNames.join(', ')}.`);
  }

  return router;
}

export async function alertsView({
  store,
  clock,
  alertNames,
  alertChannels,
}: Pick<ServerParts, 'store' | 'clock' | 'alertNames' | 'alertChannels'>): Promise<z.infer<typeof alertsSchema>> {
  const silent = await silences(store.read, clock.now());
  const until = new Map(silent.map((each) => [each.name, iso(each.until)]));
  const items = (await listAlerts(store.read)).map(({ node, since, raisedAt, wellSince, ...alert }) => ({
    ...alert,
    node: node === '' ? null : node,
    since: iso(since),
    raisedAt: raisedAt === null ? null : iso(raisedAt),
    silencedUntil: until.get(alert.name) ?? null,
  }));
  const said = silent.map((each) => ({ ...each, until: iso(each.until) }));
  return { items, silences: said, conditions: [...alertNames], channels: [...alertChannels] };
}
