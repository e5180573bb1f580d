import { createRoute, z } from '@hono/zod-openapi';
import { inUsd } from '../../domain/budget.ts';
import type { Checkpoint, Rewinding } from '../../domain/checkpoint.ts';
import { Refused } from '../../domain/errors.ts';
import type { Run } from '../../domain/run.ts';
import { checkpointsOfRun } from '../../store/checkpoints.ts';
import { spendingOfRun, spentByRun } from '../../store/ledger.ts';
import { findResult } from '../../store/results.ts';
import { roundsOfRun } from '../../store/rounds.ts';
import { findRun } from '../../store/runs.ts';
import type { App } from '../env.ts';
import { oneLine, requireId } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { artifactsOf, openArtifact, openRecord, type RecordFile } from '../records.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { type CheckpointView, checkpointSchema, type RunView, runSchema, runSpendingSchema, runView } from '../views.ts';

/** As many points as a screen is wide. */
const mostSpendingItems = 400;
const idParam = z.object({ id: z.string().openapi({ example: 'run_01KEXAMPLE000000000000000' }) });

export function runRoutes(parts: ServerParts): App {
  const { store, rewind, records, node } = parts;
  const router = newRouter();

  const known = async (given: string): Promise<Run> => {
    const id = requireId('run', given);
    const run = await findRun(store.read, id);
    if (!run) throw new Refused(404, 'no-such-run', `There is no run ${id}.`);
    return run;
  };
  /** A file of the run's, or why there is none to be had here. */
  const recordOf = async (
    given: string,
    what: string,
    find: (directory: string) => Promise<RecordFile | undefined>,
  ): Promise<RecordFile> => {
    const run = await known(given);
    const file = await find(records(run.id));
    if (file) return file;
    if (run.nodeId !== node) {
      throw new Refused(
        404,
        'record-elsewhere',
        `The run ${run.id} was done by another server (${run.nodeId}); ask that one for its ${what}.`,
      );
    }
    throw new Refused(404, 'no-record', `The run ${run.id} left no ${what}, or its records have had their time (keepRunsDays).`);
  };

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/runs/{id}',
      tags: ['Runs'],
      summary: 'Look at one run',
      request: { params: idParam },
      responses: { 200: json(runSchema, 'The run.'), ...answers(401, 404, 503) },
    }),
    async (context) => context.json(await viewOfRun(parts, await known(context.req.valid('param').id)), 200),
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/runs/{id}/spending',
      tags: ['Runs'],
      summary: 'What its model calls came to, in the order in which they were made',
      description: 'Of a run of very many calls, those of a while are told together.',
      request: { params: idParam },
      responses: { 200: json(runSpendingSchema, 'By the ledger, not added up.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const run = await known(context.req.valid('param').id);
      const items = await spendingOfRun(store.read, run.id, mostSpendingItems);
      return context.json(
        {
          items: items.map(({ at, calls, inputTokens, outputTokens, costMicroUsd }) => ({
            at: new Date(at).toISOString(),
            calls,
            inputTokens,
            outputTokens,
            costUsd: inUsd(costMicroUsd),
          })),
        },
        200,
      );
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/runs/{id}/checkpoints',
      tags: ['Runs'],
      summary: 'The points that it can be put back to, or gone on from, the oldest first',
      request: { params: idParam },
      responses: {
        200: json(z.object({ items: z.array(checkpointSchema) }).openapi('Checkpoints'), 'Those that there still are.'),
        ...answers(401, 404, 503),
      },
    }),
    async (context) => {
      const run = await known(context.req.valid('param').id);
      return context.json({ items: (await checkpointsOfRun(store.read, run.id)).map(checkpointView) }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/runs/{id}/rewind',
      tags: ['Runs'],
      summary: 'Put the files of its workspace back to a checkpoint',
      description:
        'What that replaces is kept as a checkpoint first, so a rewind can itself be undone. Refused while a run is at work among the files.',
      request: { params: idParam, body: { required: true, content: { 'application/json': { schema: rewindSchema } } } },
      responses: { 200: json(rewoundSchema, 'The files are as they were then.'), ...answers(400, 401, 404, 409, 413, 415, 422, 503) },
    }),
    async (context) => {
      const run = await known(context.req.valid('param').id);
      const { checkpoint } = context.req.valid('json');
      const id = requireId('checkpoint', checkpoint);
      const rewound = await rewind(run.id, id, context.get('user'));
      if (rewound.kind !== 'rewound') throw notRewound(rewound, run.id, id);
      const { before } = rewound;
      return context.json(
        { checkpoint: checkpointView(rewound.checkpoint), before: before && { id: before.id, runId: before.runId, number: before.number } },
        200,
      );
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/runs/{id}/output',
      tags: ['Runs'],
      summary: 'Everything that its programs printed, up to 64 MB',
      request: { params: idParam },
      responses: { 200: file('text/plain', 'What they printed so far.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const found = await recordOf(context.req.valid('param').id, 'output', (directory) => openRecord(directory, 'output.log'));
      return context.body(found.stream, 200, headersOf(found, 'text/plain; charset=utf-8'));
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/runs/{id}/diff',
      tags: ['Runs'],
      summary: 'The whole patch of what it changed; `git apply` takes it',
      request: { params: idParam },
      responses: { 200: file('text/x-diff', 'The patch.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const found = await recordOf(context.req.valid('param').id, 'diff', (directory) => openRecord(directory, 'diff.patch'));
      return context.body(found.stream, 200, headersOf(found, 'text/x-diff; charset=utf-8'));
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/runs/{id}/artifacts/{name}',
      tags: ['Runs'],
      summary: 'A file that it left beside its result',
      request: { params: idParam.extend({ name: z.string().openapi({ example: 'report.html' }) }) },
      responses: { 200: file('application/octet-stream', 'The file, as it is.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const { id, name } = context.req.valid('param');
      const found = await recordOf(id, `artifact ${JSON.stringify(name)}`, (directory) => openArtifact(directory, name));
      // Whatever an agent made is given to nobody's browser to interpret.
      const disposition = `attachment; filename*=UTF-8''${encodeURIComponent(name)}`;
      return context.body(found.stream, 200, { ...headersOf(found, 'application/octet-stream'), 'content-disposition': disposition });
    },
  );
  return router;
}

export async function viewOfRun({ store, records, outputFile }: ServerParts, run: Run): Promise<RunView> {
  const [result, artifacts, spent, rounds] = await Promise.all([
    findResult(store.read, run.id),
    artifactsOf(records(run.id)),
    spentByRun(store.read, run.id),
    roundsOfRun(store.read, run.id),
  ]);
  return runView(run, outputFile(run.id), result, artifacts, spent, rounds);
}

const checkpointView = ({ ignored, tip: _, tooBig, gates, session, at, ...checkpoint }: Checkpoint): CheckpointView => ({
  ...checkpoint,
  keepsIgnored: ignored !== null,
  // Each byte of a name is one character in there.
  tooBig: tooBig.map((path) => Buffer.from(path, 'latin1').toString()),
  session: session && { ...session },
  gates: gates.map((gate) => ({ ...gate })),
  at: new Date(at).toISOString(),
});

const rewindSchema = z.strictObject({ checkpoint: oneLine(100).openapi({ example: 'chk_01KEXAMPLE000000000000000' }) }).openapi('Rewind');
const rewoundSchema = z
  .object({
    checkpoint: checkpointSchema,
    before: z
      .object({ id: z.string(), runId: z.string(), number: z.number().int() })
      .nullable()
      .openapi({ description: 'What was replaced; null when nothing had changed since.' }),
  })
  .openapi('Rewound');

function notRewound(refused: Exclude<Rewinding, { kind: 'rewound' }>, runId: string, id: string): Refused {
  switch (refused.kind) {
    case 'not-found':
      return new Refused(404, 'no-such-checkpoint', `The run ${runId} has no checkpoint ${id}, or its workspace is gone.`);
    case 'busy':
      return new Refused(409, 'run-at-work', `A run is at work among these files. Cancel its task, or wait for its end, then try again.`);
    case 'elsewhere':
      return new Refused(409, 'workspace-elsewhere', `The workspace of ${runId} is on another node's disk. Ask that one.`);
    case 'failed':
      return new Refused(409, refused.reason.code, refused.reason.message);
  }
}

const stream = z.custom<ReadableStream<Uint8Array>>().openapi({ type: 'string' });

/** The types know of one kind of stream only, whatever is in it. */
const file = (type: string, description: string) => ({
  description,
  content: { [type]: { schema: stream } } as { 'application/octet-stream': { schema: typeof stream } },
});

const headersOf = ({ bytes }: RecordFile, type: string): Record<string, string> => ({
  'content-type': type,
  'content-length': String(bytes),
});
