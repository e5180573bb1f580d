import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { Refused } from '../../domain/errors.ts';
import { orWait } from '../access/auth.ts';
import type { App, AppEnv } from '../env.ts';
import { limitLargeBodies } from '../large-bodies.ts';
import type { ServerParts } from '../parts.ts';
import { problem } from '../problem.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';

/** The most that GitHub sends. */
const maxBodyBytes = 25 * 1024 * 1024;
/** Four of the largest at the same time. */
const largeBodies = { small: 1024 * 1024, longest: maxBodyBytes, room: 4 * maxBodyBytes };

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
  const limited = bodyLimit({
    maxSize: maxBodyBytes,
    onError: (context) => problem(context, { status: 413, code: 'body-too-large', detail: 'A delivery may have at most 25 MiB.' }),
  });
  const roomFor = limitLargeBodies(largeBodies);
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
        middleware: [roomFor, limited] as const,
        responses: { 200: json(receivedSchema, 'It is on disk.'), ...answers(400, 401, 404, 413, 415, 429, 503) },
      }),
      async (context) => context.json(await receive(parts, 'github', context), 200),
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
      middleware: [roomFor, limited] as const,
      responses: { 200: json(receivedSchema, 'It is on disk.'), ...answers(400, 401, 404, 413, 415, 429, 503) },
    }),
    async (context) => context.json(await receive(parts, `webhook:${context.req.valid('param').name}`, context), 200),
  );
  return router;
}

async function receive(
  { inbox, doors, metrics, access }: ServerParts,
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
  const body = Buffer.from(await context.req.arrayBuffer());
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
}
