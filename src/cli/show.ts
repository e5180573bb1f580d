import { defaultProfile } from '../domain/profile.ts';
import type { Run, StreamedEvent, Task } from './api.ts';
import type { Client } from './client.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { exits, Failure } from './failure.ts';
import { history } from './follow.ts';
import { taskOrRunId } from './ids.ts';
import { block, oneLine, truncate } from './legible.ts';
import { type Field, outcomeFields, reviewLines } from './outcome.ts';
import { printPatch } from './patch.ts';
import { choicesFor } from './resolve.ts';
import { type Define, examples, type Session } from './session.ts';
import { describe } from './story.ts';
import type { Screen } from './terminal.ts';
import { ToolCalls } from './tools.ts';
import { age, clockTime, duration, localTime, styleOf } from './wording.ts';

const shownRuns = 20;
const shownDependencies = 20;
const shownEvents = 15;
const longestLine = 200;
/** The whole of it stands at the task, and at the run itself. */
const shownReason = 100;
const shownSummary = 500;
const shownFindings = 10;

interface Flags extends ClientFlags {
  readonly diff?: true;
}

export const define: Define = (command, session) => {
  examples(
    clientFlags(
      command
        .argument('<id>', 'a task or a run')
        .option('--diff', 'print what it changed, as a patch: that of the run, or of the last run of the task that changed anything'),
    ),
    'nightshift show tsk_01KEXAMPLE000000000000000',
    'nightshift show run_01KEXAMPLE000000000000000 --json',
    'nightshift show tsk_01KEXAMPLE000000000000000 --diff | git apply',
  ).action(async (text: string, flags: Flags) => {
    const { kind, id } = taskOrRunId(text);
    const client = connect(flags, session);
    if (flags.diff && !flags.json) printPatch(session, await withWholeDiff(client, await changedRun(client, kind, id)));
    else if (kind === 'task') await showTask(session, flags, client, id);
    else await showRun(session, flags, client, id);
  });
};

async function changedRun(client: Client, kind: 'task' | 'run', id: string): Promise<Run> {
  if (kind === 'run') return client.get<Run>(`/api/runs/${id}`);
  const { runs } = await client.get<Task>(`/api/tasks/${id}`);
  let last: Run | undefined;
  for (const { id: runId } of runs.slice(-shownRuns).reverse()) {
    const run = await client.get<Run>(`/api/runs/${runId}`);
    if (run.diff) return run;
    last ??= run;
  }
  if (last) return last;
  throw new Failure(exits.failed, 'no-run', `The task ${id} has not run yet, so it has changed nothing.`);
}

/** A run carries only the beginning of a long patch. */
async function withWholeDiff(client: Client, run: Run): Promise<Run> {
  if (!run.diffTruncated) return run;
  try {
    return { ...run, diff: await client.text(`/api/runs/${run.id}/diff`), diffTruncated: false };
  } catch (error) {
    // Another server did it, or its records have had their time: then the beginning is better than nothing.
    if (error instanceof Failure && error.details['status'] === 404) return run;
    throw error;
  }
}

async function showTask(session: Session, flags: ClientFlags, client: Client, id: string): Promise<void> {
  const task = await client.get<Task>(`/api/tasks/${id}`);
  const [runs, dependencies, { events, findings }] = await Promise.all([
    Promise.all(task.runs.slice(-shownRuns).map((run) => client.get<Run>(`/api/runs/${run.id}`))),
    Promise.all(task.dependsOn.slice(0, shownDependencies).map((each) => client.get<Task>(`/api/tasks/${each}`))),
    eventsOf(client, id),
  ]);
  const { screen } = session;
  if (flags.json) return screen.json({ task, runs, dependencies, events });

  heading(screen, task.title, task.id, task.status);
  fields(screen, taskFields(task, session.terminal.clock.now()));
  if (task.body) section(screen, 'Body', block(task.body).trimEnd().split('\n'));
  section(
    screen,
    'Depends on',
    dependencies.map((each) => `${each.id}  ${screen.paint(styleOf(each.status), each.status.padEnd(9))}  ${oneLine(each.title)}`),
    task.dependsOn.length - dependencies.length,
  );
  section(
    screen,
    'Runs',
    runs.map((run) => runLine(screen, run, session.terminal.clock.now())),
    task.runs.length - runs.length,
  );
  const last = runs.at(-1);
  const summary: Field = ['summary', last?.summary ? truncate(oneLine(last.summary), shownSummary) : null];
  const came = last ? [summary, ...outcomeFields(last, screen.paint)].filter(([, value]) => value) : [];
  section(
    screen,
    'What came of it',
    came.map(([name, value]) => `${screen.paint('dim', name.padEnd(9))} ${value}`),
  );
  if (last?.review) section(screen, 'Review', reviewLines(last.review, screen.paint));
  const found = findings.filter(({ runId }) => runId === last?.id).sort((a, b) => Number(b.data['worth']) - Number(a.data['worth']));
  section(
    screen,
    'What its tools showed',
    found.slice(0, shownFindings).map((event) => truncate(describe(event)?.text ?? '', longestLine)),
    found.length - Math.min(found.length, shownFindings),
  );
  section(screen, 'It is for you to say', choicesFor(task));
  section(screen, 'Recently', eventLines(screen, events).slice(-shownEvents));
}

async function showRun(session: Session, flags: ClientFlags, client: Client, id: string): Promise<void> {
  const run = await client.get<Run>(`/api/runs/${id}`);
  const task = await client.get<Task>(`/api/tasks/${run.taskId}`);
  const { screen } = session;
  if (flags.json) return screen.json({ run, task });

  heading(screen, task.title, run.id, run.status);
  fields(screen, [
    ['reason', run.reason && `${oneLine(run.reason.message)} (${run.reason.code})`],
    ['summary', run.summary && oneLine(run.summary)],
    ['task', `${task.id} (${task.status})`],
    ['attempt', String(run.attempt)],
    ['engine', run.engine],
    ['node', run.nodeId],
    ['started', localTime(run.startedAt)],
    ['finished', run.finishedAt && localTime(run.finishedAt)],
    ['took', run.durationMs === null ? null : duration(run.durationMs)],
    ['output', oneLine(run.outputFile)],
    ...run.artifacts.map(({ name, bytes }, index): Field => [index === 0 ? 'artifacts' : '', `${oneLine(name)} (${bytes} bytes)`]),
    ['session', run.sessionId],
    ...outcomeFields(run, screen.paint),
  ]);
  if (run.review) section(screen, 'Review', reviewLines(run.review, screen.paint));
}

function taskFields(task: Task, now: number): readonly Field[] {
  return [
    ['reason', task.reason && `${oneLine(task.reason.message)} (${task.reason.code})`],
    ['priority', task.priority],
    ['repository', task.repository && oneLine(task.repository)],
    ['ref', task.ref && oneLine(task.ref)],
    ['engine', task.engine],
    ['profile', task.profile === defaultProfile ? null : task.profile],
    ['tier', task.tier],
    ['labels', oneLine(task.labels.join(', '))],
    ['verify', task.verify && oneLine(task.verify.join(' '))],
    ['done when', task.doneWhen && oneLine(task.doneWhen)],
    ['rounds', task.maxRounds === null ? null : `at most ${task.maxRounds}`],
    ['budget', task.budgetUsd === null ? null : `$${task.budgetUsd.toFixed(2)}`],
    ['dedupe key', task.dedupeKey && oneLine(task.dedupeKey)],
    ['from', `${oneLine(task.source)}, asked for by ${oneLine(task.requestedBy)}`],
    ['attempts', `${task.attempts} of ${task.maxAttempts}`],
    ['created', when(task.createdAt, now)],
    ['not before', task.notBefore && localTime(task.notBefore)],
    ['called off', task.cancelRequestedAt && when(task.cancelRequestedAt, now)],
    ['closed', task.closedAt && when(task.closedAt, now)],
  ];
}

const when = (iso: string, now: number): string => `${localTime(iso)} (${age(iso, now)} ago)`;

function heading(screen: Screen, title: string, id: string, status: Task['status'] | Run['status']): void {
  screen.line(screen.paint('bold', oneLine(title)));
  screen.line(`${id}  ${screen.paint(styleOf(status), status)}`);
  screen.line();
}

function fields(screen: Screen, all: readonly Field[]): void {
  for (const [name, value] of all) if (value) screen.line(`  ${screen.paint('dim', name.padEnd(11))} ${value}`);
}

function section(screen: Screen, name: string, lines: readonly string[], leftOut = 0): void {
  if (lines.length === 0) return;
  screen.line();
  screen.line(screen.paint('bold', name));
  for (const line of lines) screen.line(`  ${line}`);
  if (leftOut > 0) screen.line(screen.paint('dim', `  … and ${leftOut} more`));
}

function runLine(screen: Screen, run: Run, now: number): string {
  const took = run.durationMs === null ? `${duration(now - Date.parse(run.startedAt))} so far` : duration(run.durationMs);
  const why = run.reason ? `  ${truncate(oneLine(run.reason.message), shownReason)}` : '';
  return `${run.id}  ${screen.paint(styleOf(run.status), run.status.padEnd(9))}  ${took.padEnd(10)}${why}`.trimEnd();
}

function eventLines(screen: Screen, events: readonly StreamedEvent[]): readonly string[] {
  const tools = new ToolCalls();
  return events.flatMap((event) => {
    const said = [...tools.tell(event), describe(event)].filter((line) => line !== undefined);
    return said.map(({ text }) => `${screen.paint('dim', clockTime(event.at))}  ${truncate(text, longestLine)}`);
  });
}

/** The last events, and all that its tools showed. Output is what `logs` is for. */
async function eventsOf(client: Client, id: string): Promise<{ readonly [name in 'events' | 'findings']: readonly StreamedEvent[] }> {
  const events: StreamedEvent[] = [];
  const findings: StreamedEvent[] = [];
  for await (const event of history(client, `/api/events?task=${id}`)) {
    if (event.type === 'run.output') continue;
    if (event.type === 'run.finding') findings.push(event);
    events.push(event);
    if (events.length > 4 * shownEvents) events.splice(0, 2 * shownEvents);
  }
  return { events, findings };
}
