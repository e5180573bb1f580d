import { Argument } from 'commander';
import { type Choice, choices } from '../domain/resolution.ts';
import { awaitsDecision } from '../domain/task.ts';
import type { Resolved, Task } from './api.ts';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { misused } from './failure.ts';
import { taskId } from './ids.ts';
import { oneLine } from './legible.ts';
import type { Field } from './outcome.ts';
import { type Define, examples, type Session } from './session.ts';
import { amountOf } from './task-flags.ts';

interface Flags extends ClientFlags {
  readonly note?: string;
  readonly budget?: string;
}

export const define: Define = (command, session) => {
  examples(
    clientFlags(
      command
        .argument('<id>', 'a task that was escalated or went over its budget')
        .addArgument(new Argument('<choice>', 'how it goes on').choices(choices))
        .option('-n, --note <text>', 'what the next attempt is told, or why it ends')
        .option('--budget <usd>', 'with raise-budget: what it may cost from now on, all attempts together'),
    ),
    'nightshift resolve tsk_01KEXAMPLE000000000000000 retry --note "The schema is in db/schema.sql."',
    'nightshift resolve tsk_01KEXAMPLE000000000000000 raise-budget --budget 10',
    'nightshift resolve tsk_01KEXAMPLE000000000000000 take-over',
  ).action((id: string, choice: Choice, flags: Flags) => resolve(session, flags, taskId(id), choice));
};

async function resolve(session: Session, flags: Flags, id: string, choice: Choice): Promise<void> {
  const { note, budget } = flags;
  if ((choice === 'raise-budget') !== (budget !== undefined)) throw misused('--budget belongs to raise-budget, and raise-budget needs it.');
  const { body } = await connect(flags, session).send<Resolved>('POST', `/api/tasks/${id}/resolve`, {
    choice,
    ...(note === undefined ? {} : { note }),
    ...(budget === undefined ? {} : { budgetUsd: amountOf(budget) }),
  });
  const { screen } = session;
  if (flags.json) return screen.json(body);
  screen.line(`${body.task.id}  ${body.task.status}`);
  for (const [name, value] of workFields(body.work)) if (value) screen.line(`  ${screen.paint('dim', name.padEnd(10))} ${oneLine(value)}`);
}

function workFields(work: Resolved['work']): readonly Field[] {
  if (!work) return [];
  return [
    ['branch', work.branch],
    ['get it', work.fetchCommand],
    ['files', work.workspace],
    ['transcript', work.sessionId === null ? null : `nightshift logs ${work.runId}`],
    ['output', work.sessionId === null ? work.outputFile : null],
    ['session', work.sessionId],
    ['run', `${work.runId} on ${work.nodeId}`],
    ['summary', work.summary],
  ];
}

/** What a person can do about a task that waits for that, as commands. */
export function choicesFor({ id, status }: Task): readonly string[] {
  if (!awaitsDecision(status)) return [];
  const commands: Readonly<Record<Choice, readonly [arguments_: string, what: string]>> = {
    retry: ['retry --note TEXT', 'try again; the agent is told the note'],
    'raise-budget': ['raise-budget --budget USD', 'try again with more money'],
    'take-over': ['take-over', 'go on yourself; says where the work is'],
    'give-up': ['give-up', 'let it be'],
  };
  return choices.map((choice) => `${`nightshift resolve ${id} ${commands[choice][0]}`.padEnd(80)} ${commands[choice][1]}`);
}
