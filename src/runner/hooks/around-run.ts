import type { RunPoint } from '../../domain/hook.ts';
import { failed, hostUnfit, type Outcome } from '../../domain/outcome.ts';
import { noResult, type RunResult } from '../../domain/result.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Claim } from '../../queue/queue.ts';
import type { Store } from '../../store/store.ts';
import { parseRepository } from '../../workspace/repository.ts';
import type { Place } from '../place.ts';
import { put } from '../recorder.ts';
import { type HookEvent, type HooksAtWork, hooksAtWork } from './at-work.ts';
import type { About, FactsAt, Watch } from './hook.ts';
import type { Heard, Hooks } from './registry.ts';

export interface HookParts {
  readonly hooks: Hooks;
  readonly store: Store;
  readonly clock: Clock;
}

/** The hooks, as one run meets them. */
export interface HooksOfRun {
  /** What the run comes to when a hook refuses it. */
  before(place: Place, signal: AbortSignal): Promise<Outcome | undefined>;
  /**
   * Tells how it ended, once: a second call does nothing. A run that was called off or given back has not ended by itself,
   * and no hook hears of it. Never throws: what has happened has happened.
   */
  after(outcome: Outcome, place?: Place, result?: RunResult): Promise<void>;
  /** What an engine tells while it works in `place`, all its rounds long. It is over when `after` is called. */
  during(place: Place, signal: AbortSignal): Watch;
}

export function hooksOf({ hooks, store, clock }: HookParts, claim: Claim, stop: AbortSignal, log: Log): HooksOfRun {
  const { task, run } = claim;
  let told = false;
  let atWork: HooksAtWork | undefined;

  const record = (event: HookEvent, signal: AbortSignal): Promise<void> =>
    put(store, clock, { ...event, taskId: task.id, runId: run.id }, signal).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ err: error, event: event.type }, 'what a hook did could not be stored');
    });

  function fire(facts: FactsAt<RunPoint>, signal: AbortSignal): Promise<Heard | undefined> {
    const tell = ({ asked: _, ...heard }: Heard): Promise<void> =>
      put(store, clock, { type: 'run.hook', data: { ...heard, point: facts.point }, taskId: task.id, runId: run.id }, signal);
    return hooks.fire(facts, tell, signal);
  }

  return {
    async before(place, signal) {
      const heard = await fire(factsOf('pre-run', claim, place, null, null), signal);
      if (heard?.asked === false) return hostUnfit(`The hook ${heard.id} could not be asked. ${heard.message ?? ''}`.trim());
      return heard && failed('refused-by-hook', refusal(heard));
    },
    during(place, signal) {
      const about = aboutOf(claim, place);
      atWork ??= hooksAtWork({ hooks, clock, about, record: (event) => record(event, signal), signal });
      return atWork;
    },
    async after(outcome, place, result = noResult) {
      await atWork?.end();
      if (told || outcome.kind === 'cancelled' || outcome.kind === 'released') return;
      told = true;
      const point = outcome.kind === 'succeeded' ? 'post-run' : 'error';
      await fire(factsOf(point, claim, place, outcome, result), stop).catch((error: unknown) =>
        log.error({ err: error, point }, 'could not finish the hooks of the run'),
      );
    },
  };
}

const factsOf = (
  point: RunPoint,
  claim: Claim,
  place: Place | undefined,
  outcome: Outcome | null,
  result: RunResult | null,
): FactsAt<RunPoint> => ({ point, ...aboutOf(claim, place), outcome, result: result && withoutPatch(result) });

function aboutOf({ task, run }: Claim, place: Place | undefined): About {
  const { id, source, externalRef, title, body, ref, priority, requestedBy, trust } = task;
  // In normal form: an address with a password in it has none, and its task never gets a place.
  const repository = task.repository === null ? undefined : parseRepository(task.repository, { local: true });
  const { branch = null, baseCommit = null } = place?.workspace ?? {};
  return {
    task: {
      id,
      source,
      externalRef,
      title,
      body,
      repository: repository?.ok ? repository.value.url : null,
      ref,
      priority,
      requestedBy,
      trust,
    },
    run: { id: run.id, attempt: run.attempt, engine: run.engine },
    workspace: place ? { directory: place.directory, branch, baseCommit } : null,
  };
}

function withoutPatch({ diff: _diff, sessionId: _sessionId, ...rest }: RunResult): FactsAt<RunPoint>['result'] {
  return rest;
}

function refusal({ id, verdict, message }: Heard): string {
  const why = message === undefined ? '.' : `: ${message}`;
  return verdict === 'refused' ? `The hook ${id} refused it${why}` : `The hook ${id}, which has to pass before the run, did not${why}`;
}
