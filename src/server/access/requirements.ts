import type { Context } from 'hono';
import { matchedRoutes } from 'hono/route';
import { audiences, type Requirement } from '../../domain/access.ts';
import type { App, AppEnv } from '../env.ts';

export interface Requirements {
  /** Of the route that will answer; undefined when there is none. */
  of(context: Context<AppEnv>): Requirement | undefined;
  /** What a key may be held to. */
  readonly groups: readonly string[];
}

/** One's own session, and what the API looks like. */
const forAll = new Set(['Session', 'Documentation']);
/** No scope opens this: a key that is held to something would give itself more. */
const forNone = 'Access';

/** Read from the routes themselves, once all are there. One that says nothing is the owner's alone. */
export function requirementsOf(app: App): Requirements {
  let known: ReadonlyMap<string, Requirement> | undefined;
  const all = (): ReadonlyMap<string, Requirement> => {
    known ??= new Map(
      app.openAPIRegistry.definitions.flatMap((definition) => {
        if (definition.type !== 'route') return [];
        const { method, path, tags, 'x-role': role } = definition.route as typeof definition.route & { readonly 'x-role'?: unknown };
        const tag = tags?.[0] ?? '';
        const requirement: Requirement = {
          audience: audiences.find((each) => each === role) ?? 'owner',
          group: forAll.has(tag) ? null : groupOf(tag),
          write: method !== 'get',
          action: `${method.toUpperCase()} ${path}`,
        };
        return [[`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`, requirement]];
      }),
    );
    return known;
  };

  /** The router's own entries, of which there are as many as routes and middleware. */
  const ofRoute = new WeakMap<object, Requirement | null>();

  return {
    of(context) {
      for (const route of matchedRoutes(context)) {
        const known = ofRoute.get(route);
        const found = known === undefined ? (all().get(`${route.method} ${route.path}`) ?? null) : known;
        if (known === undefined) ofRoute.set(route, found);
        if (found) return found;
      }
      return undefined;
    },
    get groups() {
      const groups = [...all().values()].flatMap(({ audience, group }) =>
        audience === 'anyone' || group === null || group === groupOf(forNone) ? [] : [group],
      );
      return [...new Set(groups)].sort();
    },
  };
}

const groupOf = (tag: string): string => tag.toLowerCase().replaceAll(/[^a-z]+/g, '-');
