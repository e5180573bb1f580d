import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { Refused } from '../../domain/errors.ts';
import { orWait } from '../access/auth.ts';
import { type BodyLimits, type TakeBody, takeBodies } from '../delivery-bodies.ts';
import type { App, AppEnv } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';

const mebibyte = 1024 * 1024;
/** GitHub sends no more than the longest, and waits no longer than ten seconds for an answer. */
const limits: BodyLimits = { small: mebibyte, longest: 25 * mebibyte, room: 100 * mebibyte, share: 50 * mebibyte, withinMs: 10_000 };

const receivedSchema = z
  .object({
    ok: z.literal(true),
    event: z.string(),
    id: z.string().optional().openapi({ description: 'Under which it stands in the inbox.' }),
    duplicate: z.boolean().optional().openapi({ description: 'It has been here before.' }),
  })
  .openapi('Received');

/** Deliveries from elsewhere. They carry no key of ours but the sender's signature; what is answered with 200 is on disk. */
export function webhookRoutes(parts: ServerParts): App {
  const router = newRouter();
  const takeBody = takeBodies(parts.clock, limits);
  for (const path of ['/webhook/github', '/webhook']) {
    router.openapi(
      createRoute({
        method: 'post',
        'x-role': 'anyone',
        path,
        tags: ['Webhooks'],
        security: [{ signature: [] }],
        summary: 'Take in a delivery of GitHub',
        description: 'Signed with the webhook’s secret (`x-hub-signature-256`). A delivery that comes again changes nothing.',
        responses: { 200: json(receivedSchema, 'It is on disk.'), ...answers(400, 401, 404, 408, 413, 415, 429, 503) },
      }),
      async (context) => context.json(await receive(parts, takeBody, 'github', context), 200),
    );
  }
  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'anyone',
      path: '/webhook/{name}',
      tags: ['Webhooks'],
      security: [{ signature: [] }],
      summary: 'Take in a delivery of a service that is set up under `webhooks`',
      description: 'Signed with the secret of that entry. A delivery that comes again changes nothing.',
      request: { params: z.object({ name: z.string().openapi({ example: 'sentry' }) }) },
      responses: { 200: json(receivedSchema, 'It is on disk.'), ...answers(400, 401, 404, 408, 413, 415, 429, 503) },
    }),
    async (context) => context.json(await receive(parts, takeBody, `webhook:${context.req.valid('param').name}`, context), 200),
  );
  return router;
}

async function receive(
  { inbox, doors, metrics, access }: ServerParts,
  takeBody: TakeBody,
  source: string,
  context: Context<AppEnv>,
): Promise<z.infer<typeof receivedSchema>> {
  const { counted } = access.addressOf(context);
  orWait(context, access.addressLimit.waitMs(counted));
  const door = doors.get(source);
  if (!door) {
    access.addressLimit.take(counted);
    throw new Refused(
      404,
      'source-off',
      `${source.slice(0, 60)} is not set up here. ${source === 'github' ? 'Set GITHUB_WEBHOOK_SECRET' : 'Name it under webhooks in nightshift.yaml'}.`,
    );
  }
  return takeBody(context, counted, async (body) => {
    const admission = door.admit((name) => context.req.header(name), body);
    if (!admission.ok) {
      // What is signed may come as fast as it likes; it is wanted.
      access.addressLimit.take(counted);
      metrics.delivery(source, admission.code);
      throw new Refused(admission.status, admission.code, admission.message);
    }
    const { ok, ...arrival } = admission;
    const { kind } = arrival;
    const receipt = await inbox.receive({ ...arrival, source, body });
    metrics.delivery(source, receipt.kind);
    return receipt.kind === 'stored' ? { ok: true, event: kind, id: receipt.id } : { ok: true, event: kind, duplicate: true };
  });
}
