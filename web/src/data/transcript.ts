import type { EventView, RunStatus } from './views.ts';

/** What a reader of a run sees, in order. A tool's call and its result are one item. */
export type Item =
  | { readonly kind: 'text' | 'thinking'; readonly id: string; readonly at: string; readonly text: string; readonly nested: boolean }
  | ToolItem
  | { readonly kind: 'output'; readonly id: string; readonly at: string; readonly stream: 'stdout' | 'stderr'; readonly text: string }
  | NoteItem;

export interface NoteItem {
  readonly kind: 'note';
  readonly id: string;
  readonly at: string;
  readonly tone: 'plain' | 'good' | 'bad';
  readonly text: string;
  readonly detail?: string;
}

export interface ToolItem {
  readonly kind: 'tool';
  readonly id: string;
  readonly at: string;
  readonly call: string;
  readonly tool: string;
  readonly input: unknown;
  readonly nested: boolean;
  readonly result:
    | { readonly failed: boolean; readonly output: string; readonly outputSize: number; readonly durationMs: number }
    | undefined;
}

export interface Transcript {
  readonly items: readonly Item[];
  /** Where each open call stands among the items. */
  readonly calls: ReadonlyMap<string, number>;
  /** Positions of all events that are in, so that none comes in twice. */
  readonly seen: ReadonlySet<string>;
  readonly events: readonly EventView[];
  readonly ended: RunStatus | undefined;
}

export const emptyTranscript: Transcript = { items: [], calls: new Map(), seen: new Set(), events: [], ended: undefined };

/** Output comes in lines; one item holds as many as are read at a glance. */
const outputItemChars = 4_000;

/** A transcript with more events. Those that it has already are passed over, so history and live events may overlap. */
export function extend(transcript: Transcript, incoming: readonly EventView[]): Transcript {
  const fresh = incoming.filter(({ id }) => !transcript.seen.has(id));
  if (fresh.length === 0) return transcript;
  const items = [...transcript.items];
  const calls = new Map(transcript.calls);
  const seen = new Set(transcript.seen);
  let { ended } = transcript;
  for (const event of fresh) {
    if (seen.has(event.id)) continue;
    seen.add(event.id);
    if (event.type === 'run.finished') ended = event.data['status'] as RunStatus;
    add(items, calls, event);
  }
  return { items, calls, seen, events: [...transcript.events, ...fresh], ended };
}

function add(items: Item[], calls: Map<string, number>, event: EventView): void {
  const { id, at, type, data } = event;
  const nested = data['parentCall'] !== undefined;
  switch (type) {
    case 'run.text':
    case 'run.thinking':
      items.push({ kind: type === 'run.text' ? 'text' : 'thinking', id, at, text: String(data['text']), nested });
      return;
    case 'run.tool-started':
      calls.set(String(data['call']), items.length);
      items.push({
        kind: 'tool',
        id,
        at,
        call: String(data['call']),
        tool: String(data['tool']),
        input: data['input'],
        nested,
        result: undefined,
      });
      return;
    case 'run.tool-finished': {
      const result = {
        failed: data['failed'] === true,
        output: String(data['output'] ?? ''),
        outputSize: Number(data['outputSize'] ?? 0),
        durationMs: Number(data['durationMs'] ?? 0),
      };
      const call = String(data['call']);
      const index = calls.get(call);
      const begun = index === undefined ? undefined : items[index];
      if (index !== undefined && begun?.kind === 'tool') items[index] = { ...begun, result };
      else items.push({ kind: 'tool', id, at, call, tool: String(data['tool']), input: undefined, nested, result });
      calls.delete(call);
      return;
    }
    case 'run.output': {
      const stream = data['stream'] === 'stderr' ? 'stderr' : 'stdout';
      const text = String(data['text']);
      const last = items.at(-1);
      if (last?.kind === 'output' && last.stream === stream && last.text.length + text.length <= outputItemChars) {
        items[items.length - 1] = { ...last, text: last.text + text };
      } else items.push({ kind: 'output', id, at, stream, text });
      return;
    }
    default: {
      const note = noteOf(event);
      if (note) items.push(note);
    }
  }
}

const waits = {
  'rate-limited': 'whose limit is reached',
  unavailable: 'which does not answer',
  'in-line': 'where others are before it',
} as const;

/** What is told in one line between the rest; nothing for what is shown elsewhere. */
export function noteOf({ id, at, type, data }: EventView): NoteItem | undefined {
  const note = (text: string, tone: NoteItem['tone'] = 'plain', detail?: string): NoteItem => ({
    kind: 'note',
    id,
    at,
    tone,
    text,
    ...(detail === undefined ? {} : { detail }),
  });
  switch (type) {
    case 'run.started':
      return note(`Attempt ${Number(data['attempt'])} began`);
    case 'run.notice':
      return note(String(data['text']));
    case 'run.session':
      return note(data['resumed'] === true ? 'The conversation goes on where it was interrupted' : 'The conversation began');
    case 'run.notes': {
      const { length } = data['notes'] as readonly unknown[];
      return note(`It was reminded of ${length} note${length === 1 ? '' : 's'} of earlier work`);
    }
    case 'run.retry': {
      const why = data['status'] === null ? 'no connection' : String(data['status']);
      const next = `try ${Number(data['attempt'])} of ${Number(data['of'])} follows in ${Math.ceil(Number(data['waitMs']) / 1_000)} s`;
      return note(`The model did not answer (${why}); ${next}`, 'bad', String(data['error']));
    }
    case 'run.error':
      return note(String(data['message']), 'bad');
    case 'run.verified': {
      const passed = data['passed'] === true;
      const exit = data['exitCode'] === null ? '' : ` with exit code ${Number(data['exitCode'])}`;
      return note(
        passed ? 'The check passed' : `The check failed${exit}`,
        passed ? 'good' : 'bad',
        (data['command'] as readonly string[]).join(' '),
      );
    }
    case 'run.round': {
      const red = (data['red'] as readonly string[]).join(', ');
      const decision = String(data['decision']);
      const excused = (data['excused'] as readonly { readonly gate: string }[]).map(({ gate }) => gate).join(', ');
      if (decision === 'finish' && excused !== '')
        return note(`Round ${Number(data['number'])}: taken, although not green: ${excused}`, 'bad');
      if (decision === 'finish') return note(`Round ${Number(data['number'])}: the gates are green`, 'good');
      const next = decision === 'continue' ? 'the agent is told and goes on' : `given up (${String(data['rule'])})`;
      return note(`Round ${Number(data['number'])}: ${red === '' ? '' : `${red} red; `}${next}`, 'bad');
    }
    case 'run.denied':
      return note(`${String(data['tool'])} was refused by ${String(data['by'])}`, 'bad', String(data['reason']));
    case 'run.rewritten':
      return note(
        `${String(data['tool'])} got another input than it was given`,
        'plain',
        data['reason'] === null ? undefined : String(data['reason']),
      );
    case 'run.finding': {
      const line = data['line'] === null ? '' : `:${Number(data['line'])}`;
      return note(
        `Found: ${String(data['category']).replace('-', ' ')}`,
        'plain',
        `${String(data['message'])}${data['file'] === null ? '' : ` (${String(data['file'])}${line})`}`,
      );
    }
    case 'run.gate': {
      const { gate, passed, excuse, summary } = data as { gate: string; passed: boolean; excuse: string | null; summary: string };
      return note(`The gate ${gate}: ${summary}`, !passed ? 'bad' : excuse === null ? 'good' : 'plain');
    }
    case 'run.checkpoint':
      return note(`Checkpoint ${Number(data['number'])}`, 'plain', String(data['note']));
    case 'run.rewound': {
      const kept = data['before'] === null ? '' : '; what they were is kept as a checkpoint';
      return note(`${String(data['by'])} put the files back to a checkpoint${kept}`);
    }
    case 'run.model':
      return note(
        `It works with ${data['model'] === null ? 'the model of the engine' : String(data['model'])}`,
        'plain',
        String(data['reason']),
      );
    case 'run.waiting': {
      const { provider, reason } = data as { provider: string; reason: 'rate-limited' | 'unavailable' | 'in-line' };
      return note(`It waits for ${provider}, ${waits[reason]}`, reason === 'in-line' ? 'plain' : 'bad');
    }
    case 'run.hook': {
      const { id: hook, verdict, message } = data as { id: string; verdict: string; message?: string };
      return note(`The hook ${hook}: ${verdict}`, 'plain', message);
    }
    case 'run.finished': {
      const status = String(data['status']);
      const reason = data['reason'] as { message: string } | null;
      return note(`The run ended: ${status}`, status === 'succeeded' ? 'good' : status === 'failed' ? 'bad' : 'plain', reason?.message);
    }
    default:
      return undefined;
  }
}
