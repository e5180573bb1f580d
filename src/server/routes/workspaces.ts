import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import { isId } from '../../domain/id.ts';
import { type WorkspaceRecord, workspaceStatuses } from '../../domain/workspace.ts';
import { pageOfWorkspaces } from '../../store/workspaces.ts';
import type { App } from '../env.ts';
import { decodeCursor, encodeCursor, pageSchema, requireId } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { iso } from '../views/values.ts';
import { type WorkspaceView, workspaceSchema } from '../views.ts';

const tags = ['Workspaces'];

export function workspaceRoutes({ store, removeWorkspace }: ServerParts): App {
  const router = newRouter();

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/workspaces',
      tags,
      summary: 'List workspaces, newest first',
      request: {
        query: z.strictObject({
          status: z
            .string()
            .transform((text) => text.split(','))
            .pipe(z.array(z.enum(workspaceStatuses)))
            .optional()
            .openapi({
              type: 'string',
              description: `One or more of ${workspaceStatuses.join(', ')}, separated by commas. Default: all but removed.`,
            }),
          ...pageSchema,
        }),
      },
      responses: {
        200: json(z.object({ items: z.array(workspaceSchema), nextCursor: z.string().nullable() }).openapi('WorkspacePage'), 'A page.'),
        ...answers(400, 401, 503),
      },
    }),
    async (context) => {
      const { limit = 50, cursor, status } = context.req.valid('query');
      const before = decodeCursor('workspaces', cursor, (position) => isId('workspace', position));
      const page = await pageOfWorkspaces(store.read, status, { before, limit });
      return context.json({ items: page.items.map(workspaceView), nextCursor: encodeCursor('workspaces', page.next) }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      'x-role': 'operator',
      path: '/workspaces/{id}',
      tags,
      summary: "Remove a workspace's files",
      description: 'Of a task that is not over, the next run begins anew. Commits that were made stay in the mirror.',
      request: { params: z.object({ id: z.string() }) },
      responses: { 204: { description: 'They are gone; the record of it stays.' }, ...answers(401, 404, 409, 413, 503) },
    }),
    async (context) => {
      const id = requireId('workspace', context.req.valid('param').id);
      const removal = await removeWorkspace(id, context.req.raw.signal);
      switch (removal) {
        case 'removed':
          return context.body(null, 204);
        case 'not-found':
          throw new Refused(404, 'no-such-workspace', `There is no workspace ${id}, or its files are gone already.`);
        case 'busy':
          throw new Refused(
            409,
            'workspace-busy',
            `The workspace ${id} is in use: its run is at work, or its files cannot be removed just now. Cancel the task, or try again later.`,
          );
        case 'elsewhere':
          throw new Refused(409, 'workspace-elsewhere', `The workspace ${id} is on another node's disk. Ask that one.`);
      }
    },
  );

  return router;
}

function workspaceView({ gitDir: _, ...workspace }: WorkspaceRecord): WorkspaceView {
  return {
    ...workspace,
    createdAt: new Date(workspace.createdAt).toISOString(),
    completedAt: iso(workspace.completedAt),
    cleanupAt: iso(workspace.cleanupAt),
    removedAt: iso(workspace.removedAt),
  };
}
