import { isOver, type StreamedEvent, type Task } from './api.ts';
import { type ClientFlags, connect } from './connect.ts';
import { exits } from './failure.ts';
import { type Following, followRun, followTask, history } from './follow.ts';
import { oneLine } from './legible.ts';
import type { Session } from './session.ts';
import { describe, OutputPipe } from './story.ts';
import { duration, styleOf } from './wording.ts';

export type Watched = { readonly kind: 'task' | 'run'; readonly id: string };

/** Shows what happens to a task or a run until it is over. Undefined when Ctrl-C came first. */
export async function watch(session: Session, flags: ClientFlags, { kind, id }: Watched): Promise<Task | 'over' | undefined> {
  const stopped = new AbortController();
  const narrator = new Narrator(session, flags.json === true);
  const release = session.terminal.onInterrupt(() => stopped.abort());
  const following: Following = {
    connect: () => connect(flags, session),
    clock: session.terminal.clock,
    signal: stopped.signal,
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
    }
    if (stopped.signal.aborted) return leave(session, flags, narrator, { kind, id });
    narrator.end(end);
    return end ?? 'over';
  } finally {
    narrator.close();
    release();
  }
}

/** Shows what has happened so far. */
export async function recount(session: Session, flags: ClientFlags, { kind, id }: Watched): Promise<void> {
  const narrator = new Narrator(session, flags.json === true);
  const client = connect(flags, session);
  if (kind === 'task') await client.get(`/api/tasks/${id}`); // its stream would be empty, not refused
  const path = kind === 'task' ? `/api/events?task=${id}` : `/api/runs/${id}/events`;
  try {
    for await (const event of history(client, path)) narrator.tell(event);
  } finally {
    narrator.close();
  }
}

function leave(session: Session, flags: ClientFlags, narrator: Narrator, { kind, id }: Watched): undefined {
  narrator.close();
  session.end(exits.interrupted);
  if (flags.json) return;
  session.screen.remark(`\nNo longer following; the ${kind} goes on.\n  to follow again:  nightshift logs -f ${id}`);
  if (kind === 'task') session.screen.remark(`  to call it off:   nightshift cancel ${id}`);
}

const tickMs = 1_000;

/** Output on stdout and stderr as the program wrote it, everything else as remarks; or, for programs, one JSON event a line. */
class Narrator {
  private readonly session: Session;
  private readonly json: boolean;
  private readonly pipe: OutputPipe;
  /** What goes on right now, and since when: shown on a terminal as a last line that is wiped before anything is printed. */
  private state: { readonly text: string; readonly since: number } | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private ticker = false;

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
    if (event.type === 'run.output') this.pipe.write(event.data);
    else {
      const line = describe(event);
      if (line) this.remark(line.text, line.style);
    }
    this.follow(event);
  }

  connection(state: 'lost' | 'back'): void {
    if (this.json) return;
    this.wipe();
    if (state === 'lost') this.remark('the server does not answer; trying again…', 'yellow');
    else this.remark('the server answers again', 'green');
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
    this.remark(`${task.id} ${task.status}${took}`, styleOf(task.status));
  }

  close(): void {
    clearInterval(this.ticking);
    this.ticking = undefined;
    this.wipe();
    if (!this.json) this.pipe.pause();
  }

  private remark(text: string, style: ReturnType<typeof styleOf>): void {
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
    const line = `  ${oneLine(this.state.text)} ${duration(terminal.clock.now() - this.state.since)}`;
    terminal.stderr.write(`\r${screen.paintRemark('dim', line)}\x1b[K`);
    this.ticker = true;
  }

  private wipe(): void {
    if (this.ticker) this.session.terminal.stderr.write('\r\x1b[K');
    this.ticker = false;
  }
}
