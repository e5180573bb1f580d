import { createRoute, z } from '@hono/zod-openapi';
import { utcDay } from '../../domain/budget.ts';
import {
  autonomyOf,
  byDay,
  bySource,
  byWeek,
  type Ends,
  type EndsAlike,
  endsOf,
  mondayOf,
  successOf,
  type Week,
  weeksBetween,
} from '../../domain/trend.ts';
import { endsByDay, endsBySource, gatedRepositories, gatesBetween } from '../../store/trends.ts';
import type { App } from '../env.ts';
import { checkRange, dayMs, daySchema } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { gateTrendSchema, type TrendsView, trendsSchema } from '../views.ts';

const tags = ['Trends'];
const mostRepositories = 200;

const range = {
  from: daySchema.optional().openapi({ description: 'First day, UTC. Default: the Monday eleven weeks before the week of the last.' }),
  to: daySchema.optional().openapi({ description: 'Last day, included. Default: today.' }),
};

export function trendRoutes({ store, clock }: Pick<ServerParts, 'store' | 'clock'>): App {
  const router = newRouter();

  const rangeOf = (asked: { readonly from?: string | undefined; readonly to?: string | undefined }) => {
    const to = asked.to ?? utcDay(clock.now());
    const from = asked.from ?? mondayOf(utcDay(Date.parse(to) - 77 * dayMs));
    checkRange(from, to);
    return { from, to };
  };

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/trends',
      tags,
      summary: 'How tasks ended, by day, by week and by source',
      description:
        'Autonomy is the share of finished tasks that succeeded without a person. Finished are those that succeeded or failed, and those called off after a person had had to help. See docs/trends.md.',
      request: { query: z.strictObject(range) },
      responses: {
        200: json(trendsSchema, 'Every day and every week of the time; the busiest source first.'),
        ...answers(400, 401, 422, 503),
      },
    }),
    async (context) => {
      const { from, to } = rangeOf(context.req.valid('query'));
      const weeks = weeksBetween(from, to);
      const [days, sources] = [await endsByDay(store.read, from, to), await endsBySource(store.read, weeks)];
      return context.json(viewOf(days, sources, weeks, { from, to }), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/trends/gates',
      tags,
      summary: 'What the gates said at the end of runs, by day',
      request: {
        query: z.strictObject({
          ...range,
          repository: z.string().max(2_000).optional().openapi({ description: 'As in `repositories`. Default: all together.' }),
        }),
      },
      responses: { 200: json(gateTrendSchema, 'The days on which gates were asked, in order.'), ...answers(400, 401, 422, 503) },
    }),
    async (context) => {
      const { repository, ...asked } = context.req.valid('query');
      const { from, to } = rangeOf(asked);
      const days = await gatesBetween(store.read, from, to, repository);
      const repositories = await gatedRepositories(store.read, from, to, mostRepositories);
      return context.json(
        {
          from,
          to,
          repository: repository ?? null,
          days: days.map(({ red_before, covered_lines, measured_lines, ...day }) => ({
            ...day,
            redBefore: red_before,
            coveredLines: covered_lines,
            measuredLines: measured_lines,
            coverage: measured_lines === 0 ? null : covered_lines / measured_lines,
          })),
          repositories: [...repositories],
        },
        200,
      );
    },
  );
  return router;
}

const viewOf = (
  alike: readonly EndsAlike[],
  ofSources: Parameters<typeof bySource>[0],
  weeks: readonly Week[],
  { from, to }: Week,
): TrendsView => ({
  from,
  to,
  days: byDay(alike, from, to).map(({ day, succeeded, failed, cancelled }) => ({ day, succeeded, failed, cancelled })),
  weeks: byWeek(alike, weeks).map((week) => ({
    week: week.week,
    finished: week.finished,
    alone: week.alone,
    autonomy: autonomyOf(week),
  })),
  sources: bySource(ofSources, weeks).map(({ source, weeks: own, ...ends }) => ({ source, ...rated(ends), weeks: own.map(successOf) })),
  total: rated(endsOf(alike)),
});

const rated = (ends: Ends) => ({ ...ends, autonomy: autonomyOf(ends), success: successOf(ends) });
