import { isOver, type Run, type StreamedEvent, type Task } from './api.ts';
import type { Client } from './client.ts';
import { type ClientFlags, connect } from './connect.ts';
import { exits, Failure } from './failure.ts';
import { type Following, followRun, followTask, history } from './follow.ts';
import { block, oneLine, truncate } from './legible.ts';
import { outcomeFields } from './outcome.ts';
import type { Session } from './session.ts';
import { describe, type Line, OutputPipe } from './story.ts';
import { ToolCalls } from './tools.ts';
import { duration, styleOf } from './wording.ts';

export type Watched = { readonly kind: 'task' | 'run'; readonly id: string };

/** Shows what happens to a task or a run until it is over. Undefined when Ctrl-C came first. */
export async function watch(session: Session, flags: ClientFlags, { kind, id }: Watched): Promise<Task | 'over' | undefined> {
  const stopped = new AbortController();
  const release = session.terminal.onInterrupt(() => stopped.abort());
  try {
    const end = await narrate(session, flags, { kind, id }, stopped.signal);
    if (end === undefined) leave(session, flags, { kind, id });
    return end;
  } finally {
    release();
  }
}

/** The same, until the signal aborts; then undefined. The figures of each run come after it, unless the caller has its own place for them. */
export async function narrate(
  session: Session,
  flags: ClientFlags,
  { kind, id }: Watched,
  signal: AbortSignal,
  figures: 'with-outcome' | 'without-outcome' = 'with-outcome',
): Promise<Task | 'over' | undefined> {
  const narrator = new Narrator(session, flags.json === true);
  const following: Following = {
    connect: () => connect(flags, session),
    clock: session.terminal.clock,
    signal,
    onConnection: (state) => narrator.connection(state),
  };
  try {
    const events = kind === 'task' ? followTask(following, id) : followRun(following, id);
    let end: Task | undefined;
    for (;;) {
      const next = await events.next();
      if (next.done) {
        end = next.value ?? undefined;
        break;
      }
      narrator.tell(next.value);
      if (next.value.type === 'run.finished' && figures === 'with-outcome')
        narrator.outcome(await outcomeOf(following.connect, flags, next.value));
    }
    if (signal.aborted) return undefined;
    narrator.end(end);
    return end ?? 'over';
  } finally {
    narrator.close();
  }
}

/** Shows what has happened so far. */
export async function recount(session: Session, flags: ClientFlags, { kind, id }: Watched): Promise<void> {
  const narrator = new Narrator(session, flags.json === true);
  const client = connect(flags, session);
  if (kind === 'task') await client.get(`/api/tasks/${id}`); // its stream would be empty, not refused
  const path = kind === 'task' ? `/api/events?task=${id}` : `/api/runs/${id}/events`;
  try {
    for await (const event of history(client, path)) {
      narrator.tell(event);
      if (event.type === 'run.finished') narrator.outcome(await outcomeOf(() => client, flags, event));
    }
  } finally {
    narrator.close();
  }
}

/** The figures of a run that has just ended; the story goes on without them when the server goes away right now. */
async function outcomeOf(client: () => Client, { json }: ClientFlags, { runId }: StreamedEvent): Promise<Run | undefined> {
  if (json || runId === null) return undefined;
  try {
    return await client().get<Run>(`/api/runs/${runId}`);
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

function leave(session: Session, flags: ClientFlags, { kind, id }: Watched): void {
  session.end(exits.interrupted);
  if (flags.json) return;
  session.screen.remark(`\nNo longer following; the ${kind} goes on.\n  to follow again:  nightshift logs -f ${id}`);
  if (kind === 'task') session.screen.remark(`  to call it off:   nightshift cancel ${id}`);
}

const tickMs = 1_000;

/** Output on stdout and stderr as the program wrote it, what an agent says on stdout, everything else as remarks; or, for programs, one JSON event a line. */
class Narrator {
  private readonly session: Session;
  private readonly json: boolean;
  private readonly pipe: OutputPipe;
  /** What goes on right now, and since when: shown on a terminal as a last line that is wiped before anything is printed. */
  private state: { readonly text: string; readonly since: number } | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private ticker = false;
  private readonly tools = new ToolCalls();

  constructor(session: Session, json: boolean) {
    this.session = session;
    this.json = json;
    this.pipe = new OutputPipe(session.terminal);
  }

  tell(event: StreamedEvent): void {
    if (this.json) {
      this.session.screen.json(event);
      return;
    }
    this.wipe();
    for (const line of this.tools.tell(event)) this.remark(line);
    if (event.type === 'run.output') this.pipe.write(event.data);
    else if (event.type === 'run.text') this.say(event.data);
    else {
      const line = describe(event);
      if (line) this.remark(event.type === 'run.thinking' ? { ...line, text: truncate(line.text, this.room()) } : line);
    }
    this.follow(event);
  }

  outcome(run: Run | undefined): void {
    if (run === undefined) return;
    this.wipe();
    this.pipe.pause();
    const { remark, paintRemark } = this.session.screen;
    for (const [name, value] of outcomeFields(run, paintRemark)) if (value) remark(`  ${paintRemark('dim', name.padEnd(9))} ${value}`);
  }

  connection(state: 'lost' | 'back'): void {
    if (this.json) return;
    this.wipe();
    if (state === 'lost') this.remark({ text: 'the server does not answer; trying again…', style: 'yellow' });
    else this.remark({ text: 'the server answers again', style: 'green' });
  }

  end(task: Task | undefined): void {
    this.state = undefined;
    if (task === undefined) return;
    if (this.json) {
      this.session.screen.json({ type: 'task', task });
      return;
    }
    this.wipe();
    const took = task.closedAt === null ? '' : ` after ${duration(Date.parse(task.closedAt) - Date.parse(task.createdAt))}`;
    this.remark({ text: `${task.id} ${task.status}${took}`, style: styleOf(task.status) });
  }

  close(): void {
    clearInterval(this.ticking);
    this.ticking = undefined;
    this.wipe();
    if (!this.json) this.pipe.pause();
  }

  /** The agent's own words. Text, not the bytes of a program, so it is made harmless wherever it goes. */
  private say({ text, parentCall }: StreamedEvent['data']): void {
    const lines = block(String(text ?? '')).trim();
    if (lines === '') return;
    this.pipe.pause();
    this.session.screen.line(parentCall === undefined ? lines : lines.replaceAll(/^/gm, '  '));
  }

  private room(): number {
    return Math.max(20, (this.session.terminal.stderr.columns || 120) - 4);
  }

  private remark({ text, style }: Line): void {
    const { screen } = this.session;
    this.pipe.pause();
    screen.remark(`${screen.paintRemark('dim', '·')} ${screen.paintRemark(style, text)}`);
  }

  private follow({ type, at, data }: StreamedEvent): void {
    if (type === 'run.started') this.state = { text: 'running', since: Date.parse(at) };
    else if (type === 'task.submitted') this.state = { text: String(data['status']), since: Date.parse(at) };
    else if (type === 'task.status' && data['to'] !== 'running') {
      const to = data['to'] as Task['status'];
      this.state = isOver(to) ? undefined : { text: to, since: Date.parse(at) };
    }
    if (this.session.terminal.stderr.isTTY) this.ticking ??= setInterval(() => this.tick(), tickMs);
  }

  private tick(): void {
    if (!this.state || !this.pipe.atLineStart) return;
    const { terminal, screen } = this.session;
    const what = truncate(this.tools.current ?? oneLine(this.state.text), this.room() - 12);
    const line = `  ${what} ${duration(terminal.clock.now() - this.state.since)}`;
    terminal.stderr.write(`\r${screen.paintRemark('dim', line)}\x1b[K`);
    this.ticker = true;
  }

  private wipe(): void {
    if (this.ticker) this.session.terminal.stderr.write('\r\x1b[K');
    this.ticker = false;
  }
}
