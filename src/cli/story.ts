import type { RunStatus } from '../domain/run.ts';
import type { TaskStatus } from '../domain/task.ts';
import { isOver, type StreamedEvent } from './api.ts';
import { OutputFilter, oneLine } from './legible.ts';
import { hasColours, type Output, type Style, type Terminal } from './terminal.ts';
import { clockTime, duration } from './wording.ts';

export interface Line {
  readonly text: string;
  readonly style?: Style | undefined;
}

/** One line for an event, or nothing when it tells a person nothing new. */
export function describe({ type, data, runId }: StreamedEvent): Line | undefined {
  const text = (key: string): string => oneLine(String(data[key] ?? ''));
  switch (type) {
    case 'task.submitted':
      return { text: `submitted from ${text('source')}, ${text('priority')} priority, ${text('status')}` };
    case 'task.duplicate':
      return { text: `asked for again by ${text('requestedBy')}` };
    case 'task.priority':
      return { text: `priority ${text('from')} → ${text('to')}` };
    case 'task.dependencies':
      return { text: 'dependencies changed' };
    case 'task.approved':
      return { text: `${text('by')} let it go ahead, with the profile ${text('profile')}` };
    case 'task.denied':
      return { text: `${text('by')} refused it` };
    case 'task.budget':
      return { text: `${text('by')} set its budget: ${data['to'] === null ? 'none of its own' : `$${Number(data['to']).toFixed(2)}`}` };
    case 'task.recovery':
      return recoveryLine(data);
    case 'task.resolved':
      return { text: `${text('by')} decided: ${text('choice')}${data['note'] === null ? '' : `, ${text('note')}`}` };
    case 'task.cancel-requested':
      return { text: `${text('by')} called it off` };
    case 'task.status':
      return statusLine(data, runId !== null);
    case 'run.started':
      return {
        text: `attempt ${text('attempt')} started (${runId ?? 'run'}, ${data['engine'] === null ? 'no engine' : text('engine')})`,
        style: 'cyan',
      };
    case 'run.notice':
      return { text: text('text') };
    case 'run.session':
      return data['resumed'] === true ? { text: 'the conversation goes on where it was' } : undefined;
    case 'run.text':
      return { text: text('text') };
    case 'run.thinking':
      return { text: text('text'), style: 'dim' };
    case 'run.model':
      return data['model'] === null ? undefined : { text: `model ${text('model')} (${text('tier')}): ${text('reason')}`, style: 'dim' };
    case 'run.notes': {
      const { length } = data['notes'] as readonly unknown[];
      return { text: `reminded of ${length} note${length === 1 ? '' : 's'} of earlier work`, style: 'dim' };
    }
    case 'run.waiting':
      return waitingLine(data);
    case 'run.retry':
      return retryLine(data);
    case 'run.error':
      return { text: `${text('message')} (${text('code')})`, style: 'red' };
    case 'run.verified':
      return verifiedLine(data);
    case 'run.gate':
      return gateLine(data);
    case 'run.round':
      return roundLine(data);
    case 'run.checkpoint':
      return { text: `checkpoint ${text('number')}: ${oneLine(text('note'))}`, style: 'dim' };
    case 'run.rewound':
      return { text: 'the files were put back to a checkpoint', style: 'yellow' };
    case 'run.hook':
      return hookLine(data);
    case 'run.denied':
      return { text: `${text('tool')} was refused by ${text('by')}: ${text('reason')}`, style: 'yellow' };
    case 'run.rewritten':
      return { text: `${text('tool')} got another input${data['reason'] === null ? '' : `: ${text('reason')}`}`, style: 'yellow' };
    case 'run.finding':
      return findingLine(data);
    case 'task.follow-ups':
      return followUpsLine(data);
    case 'run.finished':
      return finishedLine(data);
    default:
      return undefined;
  }
}

/** What a run did to its task is told by the end of the run. */
function statusLine(data: StreamedEvent['data'], byRun: boolean): Line | undefined {
  const to = data['to'] as TaskStatus;
  if (byRun && isOver(to)) return undefined;
  const because = byRun ? '' : reasonIn(data);
  switch (to) {
    case 'queued':
      return { text: `back in line${because}` };
    case 'delayed':
      return {
        text: `starts at ${clockTime(new Date(Number(data['notBefore'])).toISOString())} at the earliest${because}`,
        style: 'yellow',
      };
    case 'blocked':
    case 'awaiting-approval':
      return { text: `${to}${because}`, style: 'yellow' };
    case 'running':
      return undefined;
    case 'succeeded':
      return { text: to, style: 'green' };
    default:
      return { text: `${oneLine(to)}${because}`, style: to === 'cancelled' ? 'dim' : 'red' };
  }
}

/** What simply ends, or waits, is told by the end of the run. */
function recoveryLine({ plan, checkpoint, tier }: StreamedEvent['data']): Line | undefined {
  const from = typeof checkpoint === 'string' ? `from checkpoint ${oneLine(checkpoint)}` : 'afresh';
  const model = typeof tier === 'string' ? `, with a ${oneLine(tier)} model` : '';
  switch (plan) {
    case 'resume':
      return { text: `goes on by itself, ${from}${model}`, style: 'yellow' };
    case 'alternative':
      return { text: `tries another way by itself, ${from}${model}`, style: 'yellow' };
    case 'escalate':
      return { text: 'a person has to say how it goes on', style: 'red' };
    default:
      return undefined;
  }
}

function waitingLine({ reason, provider, until }: StreamedEvent['data']): Line {
  const why = reason === 'rate-limited' ? 'limits the rate' : reason === 'unavailable' ? 'does not answer' : 'is busy with others';
  const when = typeof until === 'number' ? `, until ${clockTime(new Date(until).toISOString())}` : '';
  return { text: `waits: ${oneLine(String(provider))} ${why}${when}`, style: 'yellow' };
}

function retryLine({ attempt, of, waitMs, status, error }: StreamedEvent['data']): Line {
  const what = typeof status === 'number' ? `the model answered ${status}` : 'the model did not answer';
  const why = error ? ` (${oneLine(String(error))})` : '';
  return {
    text: `${what}${why}; trying again in ${duration(Number(waitMs))}, ${Number(attempt)} of ${Number(of)}`,
    style: 'yellow',
  };
}

function verifiedLine({ command, passed, exitCode }: StreamedEvent['data']): Line {
  const shown = oneLine(Array.isArray(command) ? command.join(' ') : '');
  if (passed === true) return { text: `the check passed: ${shown}`, style: 'green' };
  return { text: `the check failed (${typeof exitCode === 'number' ? `exit ${exitCode}` : 'killed'}): ${shown}`, style: 'red' };
}

/** Green ones go without saying, and what a check came to is told by its own event; of the rest, what a person wants to know. */
function gateLine({ gate, kind, passed, excuse, summary, findings }: StreamedEvent['data']): Line | undefined {
  const what = `${oneLine(String(gate))}: ${oneLine(String(summary))}`;
  if (passed === false) return kind === 'tests' || kind === 'task' ? undefined : { text: what, style: 'red' };
  if (typeof excuse === 'string') return { text: what, style: 'yellow' };
  return kind === 'weakening' && Number(findings) > 0 ? { text: what, style: 'yellow' } : undefined;
}

function roundLine({ number, decision, rule, red, excused }: StreamedEvent['data']): Line {
  const names = listed(red);
  const notGreen = Array.isArray(excused) ? listed(excused.map(({ gate }) => gate)) : '';
  const round = `round ${Number(number)}`;
  if (decision === 'finish' && notGreen !== '') return { text: `${round}: taken, although not green: ${notGreen}`, style: 'yellow' };
  if (decision === 'finish') return { text: `${round}: the gates are green`, style: 'green' };
  if (decision === 'continue') return { text: `${round}: ${names} red; the agent is told and goes on`, style: 'yellow' };
  return { text: `${round}: ${names === '' ? '' : `${names} red; `}given up (${oneLine(String(rule))})`, style: 'red' };
}

const listed = (names: unknown): string => (Array.isArray(names) ? names.map((name) => oneLine(String(name))).join(', ') : '');

function hookLine({ id, point, verdict, message }: StreamedEvent['data']): Line {
  const why = message === undefined ? '' : `: ${oneLine(String(message))}`;
  const text = `the ${oneLine(String(point))} hook ${oneLine(String(id))} ${oneLine(String(verdict))}${why}`;
  return { text, style: verdict === 'passed' ? 'dim' : point === 'pre-run' ? 'red' : 'yellow' };
}

/** What a failing test says makes sense only with its name. */
function findingLine(data: StreamedEvent['data']): Line {
  const named = data['category'] === 'test-failure' ? `${oneLine(String(data['code']))}: ` : '';
  return {
    text: `found (${oneLine(String(data['category']))}): ${named}${oneLine(String(data['message']))}${placeIn(data)}`,
    style: 'dim',
  };
}

const placeIn = ({ file, line }: StreamedEvent['data']): string =>
  typeof file === 'string' ? ` (${oneLine(file)}${typeof line === 'number' ? `:${line}` : ''})` : '';

function followUpsLine({ tasks, leftOut, reviewSkipped }: StreamedEvent['data']): Line {
  const made = (tasks as readonly { id: string; title: string }[]).map(({ id, title }) => `${oneLine(id)} ${oneLine(title)}`);
  const more = (Object.entries(whyLeftOut) as [keyof typeof whyLeftOut, string][]).flatMap(([limit, why]) => {
    const count = Number((leftOut as Readonly<Record<string, number>>)[limit] ?? 0);
    return count === 0 ? [] : [`${count} more ${count === 1 ? 'was' : 'were'} left out: ${why}`];
  });
  return {
    text: [
      made.length === 0 ? 'no task follows' : `follows: ${made.join('; ')}`,
      ...more,
      ...(reviewSkipped ? [`not reviewed: ${oneLine((reviewSkipped as { message: string }).message)}`] : []),
    ].join('; '),
    style: 'dim',
  };
}

const whyLeftOut = {
  known: 'there has been a task for it before',
  perRun: 'one run may have no more tasks (findings.perRun)',
  perDay: 'there were enough of them today (findings.perDay)',
  tooDeep: 'the chain of tasks is as long as it may be (findings.depth)',
} as const;

function finishedLine(data: StreamedEvent['data']): Line {
  const status = oneLine(String(data['status'])) as RunStatus;
  return {
    text: `attempt ${Number(data['attempt'])} ${status} after ${duration(Number(data['durationMs']))}${reasonIn(data)}`,
    style: status === 'succeeded' ? 'green' : status === 'failed' || status === 'lost' ? 'red' : 'dim',
  };
}

function reasonIn({ reason }: StreamedEvent['data']): string {
  if (typeof reason !== 'object' || reason === null || !('message' in reason)) return '';
  return `: ${oneLine(String(reason.message))}`;
}

/** Passes a run's output on: as it is to a file or a pipe, without what could take over a terminal to a terminal. */
export class OutputPipe {
  /** The cursor stands at the beginning of a line, as far as we know. */
  atLineStart = true;
  private readonly outputs: ReadonlyMap<unknown, Piped>;

  constructor({ stdout, stderr, env }: Pick<Terminal, 'stdout' | 'stderr' | 'env'>) {
    const pipe = (output: Output): Piped => ({ output, filter: output.isTTY ? new OutputFilter(hasColours(output, env)) : undefined });
    this.outputs = new Map([
      ['stdout', pipe(stdout)],
      ['stderr', pipe(stderr)],
    ]);
  }

  write({ stream, text }: StreamedEvent['data']): void {
    const piped = this.outputs.get(stream);
    if (!piped || typeof text !== 'string') return;
    this.put(piped, piped.filter?.next(text) ?? text);
  }

  /** Before something else is printed: finishes the line on a terminal, and takes back the colours. */
  pause(): void {
    for (const piped of this.outputs.values()) {
      const rest = piped.filter?.end() ?? '';
      if (piped.coloured) piped.output.write('\x1b[0m');
      piped.coloured = false;
      this.put(piped, rest);
    }
    if (this.atLineStart) return;
    for (const { output } of this.outputs.values()) {
      if (output.isTTY) output.write('\n');
      if (output.isTTY) break;
    }
    this.atLineStart = true;
  }

  private put(piped: Piped, text: string): void {
    if (text === '') return;
    if (piped.filter && text.includes('\x1b[')) piped.coloured = true;
    this.atLineStart = text.endsWith('\n');
    piped.output.write(text);
  }
}

interface Piped {
  readonly output: Output;
  readonly filter: OutputFilter | undefined;
  coloured?: boolean;
}
