import { createRoute, z } from '@hono/zod-openapi';
import { type BudgetScope, budgetScopes, inUsd, type Limits, microUsd, nextUtcDay, unitOf, utcDay } from '../../domain/budget.ts';
import { Refused } from '../../domain/errors.ts';
import { type Counter, findCounters, holdCounters, limitsIn, noCounter, saveCounters, saveLimit } from '../../store/budgets.ts';
import { append } from '../../store/journal.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { type BudgetView, budgetSchema } from '../views.ts';

const tags = ['Budgets'];

const about: Readonly<Record<BudgetScope, string>> = {
  day: 'what all model calls of a day may cost',
  ceiling: 'the same, whatever the day is raised to; at this much the queue is paused',
  proactive: 'tokens for proactive work in a day',
  run: 'what one run may cost when its task has no budget of its own',
  conversation: 'tokens of one conversation after which there is a warning; it refuses nothing',
};

const budgetsSchema = z.object({ items: z.array(budgetSchema) }).openapi('Budgets');

export function budgetRoutes(parts: ServerParts): App {
  const { store, clock, limits: defaults } = parts;
  const router = newRouter();

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/budgets',
      tags,
      summary: 'What may be spent, what has been, and what is held for calls under way',
      responses: { 200: json(budgetsSchema, 'Every budget. That of a task is part of the task.'), ...answers(401, 503) },
    }),
    async (context) => context.json({ items: await budgetViews(parts) }, 200),
  );

  router.openapi(
    createRoute({
      method: 'put',
      'x-role': 'owner',
      path: '/budgets/{scope}',
      tags,
      summary: 'Set a budget; it holds from the next model call on',
      request: {
        params: z.object({ scope: z.string().openapi({ example: 'day' }) }),
        body: {
          required: true,
          content: {
            'application/json': {
              schema: z
                .strictObject({
                  limit: z
                    .number()
                    .min(0)
                    .max(1e12)
                    .nullable()
                    .openapi({ description: 'Dollars or tokens; null is no limit, which the ceiling cannot have.' }),
                })
                .openapi('BudgetChange'),
            },
          },
        },
      },
      responses: { 200: json(budgetsSchema, 'Every budget as it is now.'), ...answers(400, 401, 404, 413, 415, 422, 503) },
    }),
    async (context) => {
      const scope = scopeNamed(context.req.valid('param').scope);
      const limit = amountOf(scope, context.req.valid('json').limit);
      const by = context.get('user');
      await store.write(async (tx) => {
        const now = clock.now();
        // Held, so that no call is being admitted by the old limit meanwhile.
        const counters = await holdCounters(tx, [`day:${utcDay(now)}`, `proactive:${utcDay(now)}`]);
        const before: Limits = await limitsIn(tx.db, defaults);
        await saveLimit(tx, scope, limit);
        if (before[scope] === limit) return;
        // That it is used up is news again when it is used up again.
        await saveCounters(tx, new Map([...counters].map(([id, counter]) => [id, { ...counter, exhausted: false }])), now);
        await append(
          tx,
          [{ type: 'budget.changed', data: { scope, from: shown(scope, before[scope]), to: shown(scope, limit), by } }],
          now,
        );
      });
      return context.json({ items: await budgetViews(parts) }, 200);
    },
  );
  return router;
}

export async function budgetViews({
  store,
  clock,
  limits: defaults,
}: Pick<ServerParts, 'store' | 'clock' | 'limits'>): Promise<BudgetView[]> {
  const now = clock.now();
  const ids = { day: `day:${utcDay(now)}`, proactive: `proactive:${utcDay(now)}` };
  const [counters, limits] = await store.read
    .connection()
    .execute(async (db) => [await findCounters(db, Object.values(ids)), await limitsIn(db, defaults)] as const);
  const counterOf = (scope: BudgetScope): Counter | undefined => {
    if (scope === 'run' || scope === 'conversation') return undefined;
    return counters.get(scope === 'proactive' ? ids.proactive : ids.day) ?? noCounter;
  };
  return budgetScopes.map((scope) => view(scope, limits[scope], counterOf(scope), now));
}

function scopeNamed(text: string): BudgetScope {
  const scope = budgetScopes.find((each) => each === text);
  if (scope) return scope;
  throw new Refused(
    404,
    'no-such-budget',
    `There is no budget ${JSON.stringify(text.slice(0, 60))}. There are: ${budgetScopes.join(', ')}.`,
  );
}

function amountOf(scope: BudgetScope, limit: number | null): number | null {
  if (limit === null) {
    if (scope !== 'ceiling') return null;
    throw new Refused(422, 'ceiling-needed', 'The ceiling cannot be taken away; it can be set as high as you like.');
  }
  if (unitOf(scope) === 'usd') {
    if (limit <= 1_000_000) return microUsd(limit);
    throw new Refused(422, 'limit-too-high', 'A budget can be at most 1000000 dollars.');
  }
  if (Number.isInteger(limit)) return limit;
  throw new Refused(422, 'not-whole', `The budget ${scope} is one of tokens, and takes a whole number.`);
}

const shown = (scope: BudgetScope, amount: number | null): number | null =>
  amount !== null && unitOf(scope) === 'usd' ? inUsd(amount) : amount;

function view(scope: BudgetScope, limit: number | null, counter: Counter | undefined, now: number): BudgetView {
  const left = limit === null || !counter ? null : Math.max(0, limit - counter.spent - counter.reserved);
  return {
    scope,
    about: about[scope],
    unit: unitOf(scope),
    limit: shown(scope, limit),
    spent: shown(scope, counter?.spent ?? null),
    reserved: shown(scope, counter?.reserved ?? null),
    left: shown(scope, left),
    resetsAt: counter ? new Date(nextUtcDay(now)).toISOString() : null,
  };
}
