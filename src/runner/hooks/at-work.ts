import type { NewEvent } from '../../domain/event.ts';
import { type Clock, wait } from '../../platform/clock.ts';
import { shownInput } from '../shown.ts';
import type { About, Hook, HookFacts, Moment, MomentAt, ToolVerdict, Watch } from './hook.ts';
import type { Heard, Hooks } from './registry.ts';

export interface AtWorkParts {
  readonly hooks: Pick<Hooks, 'at' | 'call'>;
  readonly clock: Clock;
  readonly about: About;
  /** Never rejects: what cannot be told is no reason to stop. */
  readonly record: (event: HookEvent) => Promise<void>;
  /** Aborts with the run. */
  readonly signal: AbortSignal;
}

export type HookEvent = Extract<NewEvent, { type: 'run.hook' | 'run.denied' | 'run.rewritten' | 'run.notice' }>;

/** The hooks, as an engine meets them while it works. */
export interface HooksAtWork extends Watch {
  /** Waits until what was told has been heard, though not for long; then nobody hears anything more. Never rejects. */
  end(): Promise<void>;
}

/** What one hook may be behind by; what comes on top of that it misses. */
const longestQueue = { moments: 200, characters: 4_000_000 };
/** A hook that failed so often in a row is not called any more in this run: it would only cost its time limit each time. */
const strikes = 3;
/** Of one hook in one run; further ones tell a reader nothing new. */
const failuresTold = 10;
const drainMs = 10_000;

/**
 * Asks before a tool, one hook after the other, and waits. Of everything else hooks are told beside the work: each in the
 * order in which it happened, with a queue of its own, so that a slow one holds up neither the engine nor the others.
 */
export function hooksAtWork({ hooks, clock, about, record, signal: stop }: AtWorkParts): HooksAtWork {
  const over = new AbortController();
  const signal = AbortSignal.any([stop, over.signal]);
  const lanes = new Map<string, Lane>();
  const failures = new Map<string, { inRow: number; told: number }>();
  let asking: Promise<unknown> = Promise.resolve();

  const isOut = ({ id, required }: Hook): boolean => required !== true && (failures.get(id)?.inRow ?? 0) >= strikes;
  const wanted = (moment: Moment): readonly Hook[] => hooks.at(moment.point).filter((hook) => !isOut(hook) && isAbout(hook, moment));

  async function call(hook: Hook, moment: Moment): Promise<Heard> {
    const heard = await hooks.call(hook, { ...about, ...moment } as HookFacts, signal);
    const seen = failures.get(hook.id) ?? { inRow: 0, told: 0 };
    failures.set(hook.id, seen);
    if (heard.verdict === 'passed' || heard.verdict === 'refused' || signal.aborted) {
      seen.inRow = 0;
      return heard;
    }
    seen.inRow += 1;
    seen.told += 1;
    const { id, verdict, durationMs, message } = heard;
    if (seen.told <= failuresTold) {
      const said = message === undefined ? {} : { message };
      await record({ type: 'run.hook', data: { id, point: moment.point, verdict, durationMs, ...said } });
    }
    if (isOut(hook) && seen.inRow === strikes) {
      await record({
        type: 'run.notice',
        data: { text: `The hook ${id} failed ${strikes} times in a row and is not called any more in this run.` },
      });
    }
    return heard;
  }

  async function askAll({ tool }: MomentAt<'pre-tool'>): Promise<ToolVerdict> {
    let { input } = tool;
    const rewriters: string[] = [];
    const reasons: string[] = [];
    for (const hook of wanted({ point: 'pre-tool', tool })) {
      if (signal.aborted) return { allow: false, reason: 'The run is over.' };
      const heard = await call(hook, { point: 'pre-tool', tool: { ...tool, input } });
      const refusal = refusalOf(hook, heard);
      if (refusal !== undefined) {
        await record({ type: 'run.denied', data: { call: tool.call, tool: tool.name, by: `hook ${hook.id}`, reason: refusal } });
        return { allow: false, reason: refusal };
      }
      if (heard.verdict !== 'passed' || !heard.input) continue;
      input = heard.input;
      rewriters.push(`hook ${hook.id}`);
      if (heard.message !== undefined) reasons.push(heard.message);
    }
    if (rewriters.length === 0) return { allow: true };
    const reason = reasons.join(' ');
    await record({
      type: 'run.rewritten',
      data: { call: tool.call, tool: tool.name, by: rewriters, reason: reason === '' ? null : reason, input: shownInput(input) },
    });
    return { allow: true, input: input as Readonly<Record<string, unknown>>, ...(reason === '' ? {} : { reason }) };
  }

  return {
    wants: (point) => hooks.at(point).length > 0,
    ask(moment) {
      // One at a time: an agent may use several tools at once, and each hook that is asked may be a program.
      const answer = asking.then(() => askAll(moment));
      asking = answer.catch(() => undefined);
      return answer;
    },
    async tell(moment) {
      if (signal.aborted) return;
      const heard = wanted(moment).map((hook) => {
        const lane = lanes.get(hook.id) ?? createLane();
        lanes.set(hook.id, lane);
        const done = lane.add(sizeOf(moment), async () => {
          if (signal.aborted) return false;
          if (!isOut(hook)) await call(hook, moment);
          return true;
        });
        return hook.wait === true ? done : undefined;
      });
      await Promise.all(heard);
    },
    async end() {
      const told = new AbortController();
      const idle = Promise.all([asking, ...[...lanes.values()].map((lane) => lane.idle())]);
      await Promise.race([idle, wait(clock, drainMs, AbortSignal.any([told.signal, stop]))]);
      told.abort();
      over.abort();
      await Promise.all([...lanes.values()].map((lane) => lane.idle()));
      for (const [id, { tally }] of lanes) {
        if (tally.missed === 0 || stop.aborted) continue;
        const text = `The hook ${id} missed ${tally.missed} of ${tally.added} moments: it was too slow.`;
        await record({ type: 'run.notice', data: { text } });
      }
    },
  };
}

/** What one hook has still to hear, in order. */
interface Lane {
  /** `hear` answers whether it was heard. Resolves when that is known; what does not fit into the line any more is missed. */
  add(characters: number, hear: () => Promise<boolean>): Promise<void>;
  idle(): Promise<void>;
  readonly tally: { readonly added: number; readonly missed: number };
}

function createLane(): Lane {
  let last: Promise<void> = Promise.resolve();
  let moments = 0;
  let characters = 0;
  const tally = { added: 0, missed: 0 };
  return {
    add(size, hear) {
      tally.added += 1;
      if (moments >= longestQueue.moments || (moments > 0 && characters + size > longestQueue.characters)) {
        tally.missed += 1;
        return Promise.resolve();
      }
      moments += 1;
      characters += size;
      last = last.then(async () => {
        if (!(await hear())) tally.missed += 1;
        moments -= 1;
        characters -= size;
      });
      return last;
    },
    idle: () => last,
    tally,
  };
}

const isAbout = ({ tools }: Hook, moment: Moment): boolean => !tools || !('tool' in moment) || tools.includes(moment.tool.name);

function refusalOf({ id, required }: Hook, { verdict, message }: Heard): string | undefined {
  const why = message === undefined ? '.' : `: ${message}`;
  if (verdict === 'refused') return `The hook ${id} refused it${why}`;
  return verdict !== 'passed' && required === true
    ? `The hook ${id}, which has to pass before this tool is used, did not${why}`
    : undefined;
}

/** Near enough: what can be long in a moment is cut to known lengths. */
const sizeOf = (moment: Moment): number => 1_000 + (moment.point === 'tool-complete' ? moment.tool.output.length : 0);
