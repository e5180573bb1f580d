import { z } from 'zod';
import type { Inbox } from '../inbox/inbox.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { knownKeys } from '../store/inbox.ts';
import { readSetting, writeSetting } from '../store/settings.ts';
import type { Store } from '../store/store.ts';
import type { GitHubApi } from './api.ts';
import { type Answer, at, type Call, repo } from './client.ts';
import { githubSource } from './door.ts';
import { asJson, lookAround } from './look-around.ts';
import type { GitHubPolicy } from './settings.ts';

export interface CatchUpParts {
  readonly api: GitHubApi;
  readonly policy: GitHubPolicy;
  readonly inbox: Pick<Inbox, 'receive'>;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

type Ask = (request: Call) => Promise<Answer>;

const maxPages = 20;

/**
 * Finds what was sent while nobody was there: GitHub sends a delivery once. An App, or a token with rights on the hooks, can
 * see each delivery; otherwise what has changed since the last look is read. What was here already is recognised by the inbox.
 */
export async function catchUp(parts: CatchUpParts, signal: AbortSignal): Promise<void> {
  const { api, policy, log } = parts;
  if (!api.canSpeak) return;
  const asApp: Ask = (request) => api.asApp(request, signal);
  const seen = await missedDeliveries(parts, asApp, '/app/hook/deliveries', signal);
  if (seen !== undefined) {
    if (seen > 0) log.info({ deliveries: seen }, 'github: found deliveries that had been missed');
    return;
  }
  for (const repository of policy.repositories ?? []) {
    if (signal.aborted) return;
    const ask: Ask = (request) => api.in(repository, request, signal);
    const found = (await throughHooks(parts, ask, repository, signal)) ?? (await throughLooking(parts, ask, repository, signal));
    if (found > 0) log.info({ repository, deliveries: found }, 'github: found what had been missed');
  }
}

const deliverySummary = z.object({ id: z.union([z.number(), z.string()]), guid: z.string(), event: z.string() });
const deliveryWhole = z.object({ request: z.object({ payload: z.unknown() }) });

/** How many were missed; undefined when the list may not be seen. */
async function missedDeliveries({ inbox, store }: CatchUpParts, ask: Ask, path: string, signal: AbortSignal): Promise<number | undefined> {
  let found = 0;
  let cursor: string | undefined;
  for (let page = 0; page < maxPages && !signal.aborted; page++) {
    const answer = await ask({ method: 'GET', path: `${path}?per_page=100${cursor === undefined ? '' : at`&cursor=${cursor}`}` });
    if (answer.kind !== 'ok') return page === 0 ? undefined : found;
    const summaries = (Array.isArray(answer.body) ? answer.body : []).flatMap((item) => deliverySummary.safeParse(item).data ?? []);
    const known = await knownKeys(
      store.read,
      githubSource,
      summaries.map(({ guid }) => guid),
    );
    for (const { id, guid, event } of summaries.filter(({ guid }) => !known.has(guid)).toReversed()) {
      const one = await ask({ method: 'GET', path: path + at`/${id}` });
      const whole = one.kind === 'ok' ? deliveryWhole.safeParse(one.body).data : undefined;
      if (!whole) continue;
      const body = Buffer.from(JSON.stringify(whole.request.payload));
      const receipt = await inbox.receive({ source: githubSource, key: guid, kind: event, headers: asJson, body });
      if (receipt.kind === 'stored') found += 1;
    }
    cursor = answer.nextCursor;
    if (cursor === undefined) break;
  }
  return found;
}

const hook = z.object({ id: z.int(), config: z.object({ url: z.string().default('') }).default({ url: '' }) });

async function throughHooks(parts: CatchUpParts, ask: Ask, repository: string, signal: AbortSignal): Promise<number | undefined> {
  const answer = await ask({ method: 'GET', path: `${repo(repository)}/hooks?per_page=100` });
  if (answer.kind !== 'ok') return undefined;
  const ours = (Array.isArray(answer.body) ? answer.body : [])
    .flatMap((item) => hook.safeParse(item).data ?? [])
    .filter(({ config }) => /\/webhook(?:\/github)?\/?$/.test(config.url));
  if (ours.length === 0) return undefined;
  let found = 0;
  for (const { id } of ours) {
    found += (await missedDeliveries(parts, ask, repo(repository) + at`/hooks/${id}/deliveries`, signal)) ?? 0;
  }
  return found;
}

/** What was said before we were set up was not said to us; what is looked at twice is recognised. */
async function throughLooking(parts: CatchUpParts, ask: Ask, repository: string, signal: AbortSignal): Promise<number> {
  const { store, clock } = parts;
  const setting = `github.polled.${repository.toLowerCase()}`;
  const since = await readSetting(store.read, setting);
  const now = new Date(clock.now() - overlapMs).toISOString();
  const remember = (): Promise<void> => store.write((tx) => writeSetting(tx, setting, now));
  if (since === undefined) {
    await remember();
    return 0;
  }
  const seen = await lookAround({ ...parts, ask, repository, since }, signal);
  // Not remembered as looked at, so the next look comes by here again.
  if (seen.complete) await remember();
  return seen.found;
}

/** GitHub's clock and ours differ, and its lists lag behind. */
const overlapMs = 5 * 60_000;
