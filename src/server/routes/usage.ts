import { createRoute, z } from '@hono/zod-openapi';
import { inUsd, utcDay } from '../../domain/budget.ts';
import { type Spending, summaryOf, usageDimensions } from '../../domain/spending.ts';
import { limitsIn } from '../../store/budgets.ts';
import { usageBy, usageIn } from '../../store/ledger.ts';
import type { App } from '../env.ts';
import { checkRange, dayMs, daySchema } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { mostUsageItems, tokensView, usageSchema } from '../views.ts';

const tags = ['Usage'];

export function usageRoutes({ store, clock, limits }: ServerParts): App {
  const router = newRouter();

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/usage',
      tags,
      summary: 'What model calls came to',
      request: {
        query: z.strictObject({
          from: daySchema.optional().openapi({ description: 'First day, UTC. Default: six days before the last.' }),
          to: daySchema.optional().openapi({ description: 'Last day, included. Default: today.' }),
          by: z.enum(usageDimensions).optional().openapi({ description: 'Default: day.' }),
        }),
      },
      responses: { 200: json(usageSchema, 'Days in order, everything else dearest first.'), ...answers(400, 401, 422, 503) },
    }),
    async (context) => {
      const { by = 'day', ...asked } = context.req.valid('query');
      const to = asked.to ?? utcDay(clock.now());
      const from = asked.from ?? utcDay(Date.parse(to) - 6 * dayMs);
      checkRange(from, to);
      const items = await usageBy(store.read, by, from, to, mostUsageItems + 1);
      const total = await usageIn(store.read, from, to);
      return context.json(
        {
          from,
          to,
          by,
          items: items.slice(0, mostUsageItems).map((item) => ({ key: item.key, ...view(item) })),
          total: view(total),
          truncated: items.length > mostUsageItems,
        },
        200,
      );
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/usage/summary',
      tags,
      summary: 'A day in a few lines of text, to be passed on',
      request: { query: z.strictObject({ day: daySchema.optional().openapi({ description: 'UTC. Default: today.' }) }) },
      responses: {
        200: json(z.object({ day: daySchema, text: z.string() }).openapi('UsageSummary'), 'The summary.'),
        ...answers(400, 401, 503),
      },
    }),
    async (context) => {
      const day = context.req.valid('query').day ?? utcDay(clock.now());
      const models = await usageBy(store.read, 'model', day, day, 5);
      const named = models.map((model) => ({ ...model, key: model.key === '' ? 'no model' : model.key }));
      const text = summaryOf(day, await usageIn(store.read, day, day), named, (await limitsIn(store.read, limits)).day);
      return context.json({ day, text }, 200);
    },
  );
  return router;
}

const view = ({ calls, failedCalls, costMicroUsd, ...tokens }: Spending) => ({
  calls,
  failedCalls,
  ...tokensView(tokens),
  costUsd: inUsd(costMicroUsd),
});
