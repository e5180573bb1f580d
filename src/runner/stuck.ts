import { type CircleLimits, type Denial, type StopRule, stuckIn, type ToolUse } from '../domain/round.ts';
import { withoutSecrets } from '../domain/secret-forms.ts';
import type { EngineEvent } from './engines/engine.ts';
import type { ToolVerdict, Watch } from './hooks/hook.ts';
import { examine, seenIn } from './investigate/examine.ts';
import { howItFailed, wentWrong } from './investigate/track.ts';

export interface StuckParts {
  /** The directory that the run works in. */
  readonly directory: string;
  /** Stands for the files as they are; undefined where nobody can tell. */
  readonly files: () => Promise<string | undefined>;
  readonly limits: CircleLimits;
}

/** The agent goes in a circle, by this rule. */
export interface Stuck {
  readonly rule: StopRule;
  /** What it does again and again, in words, without a full stop. */
  readonly what: string;
}

/** Sees what an agent does, all its rounds long, and says when it has come to do the same again and again. */
export interface StuckWatch {
  /** `denial`: why a use that has ended with this event was refused, where that is read off its end. */
  see(event: EngineEvent, denial?: Denial): Promise<Stuck | undefined>;
  /** The watch as it is, with its refusals seen. */
  over(watch: Watch): Watch;
}

/** What is further back than that is no circle. */
const mostUses = 500;
const waiting = new Set(['BashOutput', 'TaskOutput']);
const shownUse = 200;
const shownError = 200;

interface Kept extends ToolUse {
  readonly call: string;
  /** The use and the end of what came of it, for a person. */
  readonly asked: string;
  readonly lastLine: string;
  /** How much had worked before it. */
  readonly worked: number;
}

/** What stands for the files where nobody has looked at them: like no others. */
const unseenAt = (call: string): string => `at ${call}`;

export function createStuckWatch({ directory, files, limits }: StuckParts): StuckWatch {
  const open = new Map<string, unknown>();
  /** Asked for beside one that is the same: what became of that one, its agent had not been told. */
  const twins = new Set<string>();
  const denials = new Map<string, Denial>();
  let uses: readonly Kept[] = [];
  /** Where nobody can tell what became of the files, whatever worked may have changed them. */
  let worked = 0;

  const look = async (failed: boolean): Promise<string> => (await files()) ?? (failed ? `after ${worked} that worked` : 'unknown');
  const judge = (last: Kept): Stuck | undefined => {
    uses = [...uses.filter(({ call }) => call !== last.call), last].slice(-mostUses);
    const rule = stuckIn(uses, limits);
    return rule && { rule, what: inWords(last, uses) };
  };

  const end = async (
    { call, failed: saysSo, tool, output, durationMs, parentCall }: Finished,
    denial?: Denial,
  ): Promise<Stuck | undefined> => {
    const input = open.get(call);
    open.delete(call);
    const refused = denial ?? denials.get(call) ?? null;
    denials.delete(call);
    const seen = seenIn({ name: tool, input, output, failed: saysSo, durationMs }, directory);
    const findings = examine(seen);
    const failed = wentWrong(seen, findings);
    if (!failed) worked += 1;
    // Whoever looks how something goes on that was begun is patient, which is no circle.
    if (!failed && waiting.has(tool)) return undefined;
    // Subagents are sent out side by side, and may well ask for the same.
    const use = JSON.stringify([parentCall ?? null, tool, seen.command ?? withoutComment(input), twins.delete(call) ? call : null]);
    const waits = seen.command !== null && /\bsleep\s+[\d$]/.test(seen.command);
    // Where something is waited for, numbers tell how far it has come.
    const answer = waits && !failed ? seen.lines.slice(-20).join('\n') : howItFailed(seen, findings);
    // To look at the files takes a moment, and longer the more there are. Most of what works is done once, and most of what fails
    // fails once like that: only where it is done again does it matter what became of them.
    const before = failed ? uses.findLast((each) => each.failed && each.use === use && each.answer === answer) : uses.at(-1);
    const isNews = refused === null && (before?.use !== use || before.answer !== answer);
    const seenNow = isNews ? unseenAt(call) : await look(failed);
    uses = uses.map((each) => (each === before && failed && isUnseen(each) && each.worked === worked ? { ...each, files: seenNow } : each));
    return judge({
      call,
      use,
      failed,
      answer,
      waits,
      denial: refused,
      worked,
      files: seenNow,
      asked: `${tool} ${shownIn(seen.command ?? JSON.stringify(withoutComment(input)) ?? '', shownUse)}`,
      lastLine: shownIn(output.trimEnd().split('\n').at(-1) ?? '', shownError),
    });
  };

  return {
    async see(event, denial) {
      switch (event.type) {
        case 'run.tool-started':
          if (isAmong(open.values(), event.data.input)) twins.add(event.data.call);
          open.set(event.data.call, event.data.input);
          return undefined;
        case 'run.tool-finished':
          return end(event.data, denial);
        case 'run.denied': {
          // Told before its end, or after it.
          const known = uses.find(({ call }) => call === event.data.call);
          if (known) return judge({ ...known, denial: event.data, files: isUnseen(known) ? await look(known.failed) : known.files });
          denials.set(event.data.call, event.data);
          return undefined;
        }
        default:
          return undefined;
      }
    },
    over: (watch) => ({
      ...watch,
      async ask(moment): Promise<ToolVerdict> {
        const verdict = await watch.ask(moment);
        const { call, name: tool } = moment.tool;
        if (!verdict.allow) denials.set(call, { tool, by: 'a hook', reason: verdict.reason });
        return verdict;
      },
    }),
  };
}

const isUnseen = ({ call, files }: Kept): boolean => files === unseenAt(call);

type Finished = Extract<EngineEvent, { type: 'run.tool-finished' }>['data'];

function inWords({ asked, lastLine, denial, ...last }: Kept, uses: readonly Kept[]): string {
  const reason = shownIn(denial?.reason ?? lastLine, shownError).replace(/\.$/, '');
  const shown = reason === '' ? asked : `${asked} (${reason})`;
  if (denial !== null) return `what it asks for was refused by ${denial.by} again and again: ${shown}`;
  const times = uses.filter(({ use, answer, files }) => use === last.use && answer === last.answer && files === last.files).length;
  return last.failed
    ? `the same failed ${times} times in the same way, and no file was changed in between: ${shown}`
    : `the same was done ${times} times in a row, and nothing came of it: ${shown}`;
}

function isAmong(inputs: Iterable<unknown>, input: unknown): boolean {
  const wanted = JSON.stringify(withoutComment(input));
  return [...inputs].some((each) => JSON.stringify(withoutComment(each)) === wanted);
}

/** What a call says of itself is another thing each time. */
function withoutComment(input: unknown): unknown {
  if (typeof input !== 'object' || input === null) return input;
  const { description: _, ...rest } = input as Readonly<Record<string, unknown>>;
  return rest;
}

const shownIn = (text: string, limit: number): string => {
  const line = withoutSecrets(text.replaceAll(/\s+/g, ' ').trim());
  return (line.length > limit ? `${line.slice(0, limit - 1)}…` : line).toWellFormed();
};
