import { type Denial, type StopRule, stuckIn, type ToolFailure } from '../domain/round.ts';
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
  readonly sameError: number;
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
const mostFailures = 200;
const shownUse = 200;
const shownError = 200;

interface Kept extends ToolFailure {
  readonly call: string;
  /** The use and the end of what came of it, for a person. */
  readonly asked: string;
  readonly answer: string;
}

export function createStuckWatch({ directory, files, sameError }: StuckParts): StuckWatch {
  const open = new Map<string, unknown>();
  const denials = new Map<string, Denial>();
  let failures: readonly Kept[] = [];
  /** Where nobody can tell what became of the files, whatever worked may have changed them. */
  let worked = 0;

  const judge = (last: Kept): Stuck | undefined => {
    failures = [...failures.filter(({ call }) => call !== last.call), last].slice(-mostFailures);
    const rule = stuckIn(failures, { sameError });
    return rule && { rule, what: inWords(last, failures) };
  };

  const end = async ({ call, failed, tool, output, durationMs, parentCall }: Finished, denial?: Denial): Promise<Stuck | undefined> => {
    const input = open.get(call);
    open.delete(call);
    const seen = seenIn({ name: tool, input, output, failed, durationMs }, directory);
    const findings = examine(seen);
    const refused = denial ?? denials.get(call) ?? null;
    denials.delete(call);
    if (!wentWrong(seen, findings)) {
      worked += 1;
      return undefined;
    }
    return judge({
      call,
      // Subagents are sent out side by side, and may well ask for the same.
      use: JSON.stringify([parentCall ?? null, tool, seen.command ?? withoutComment(input)]),
      error: howItFailed(seen, findings),
      denial: refused,
      files: (await files()) ?? `after ${worked} that worked`,
      asked: `${tool} ${shownIn(seen.command ?? JSON.stringify(withoutComment(input)) ?? '', shownUse)}`,
      answer: shownIn(output.trimEnd().split('\n').at(-1) ?? '', shownError),
    });
  };

  return {
    async see(event, denial) {
      switch (event.type) {
        case 'run.tool-started':
          open.set(event.data.call, event.data.input);
          return undefined;
        case 'run.tool-finished':
          return end(event.data, denial);
        case 'run.denied': {
          // Told before its end, or after it.
          const known = failures.find(({ call }) => call === event.data.call);
          if (known) return judge({ ...known, denial: event.data });
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

type Finished = Extract<EngineEvent, { type: 'run.tool-finished' }>['data'];

function inWords({ asked, answer, denial, ...last }: Kept, failures: readonly Kept[]): string {
  const times = failures.filter(({ use, error, files }) => use === last.use && error === last.error && files === last.files).length;
  const reason = shownIn(denial?.reason ?? answer, shownError).replace(/\.$/, '');
  const shown = reason === '' ? asked : `${asked} (${reason})`;
  if (denial === null) return `the same failed ${times} times in the same way, and no file was changed in between: ${shown}`;
  return `what it asks for was refused by ${denial.by} again and again: ${shown}`;
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
