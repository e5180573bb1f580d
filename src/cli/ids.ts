import { isId } from '../domain/id.ts';
import { misused } from './failure.ts';
import { oneLine } from './legible.ts';

export function taskId(text: string): string {
  if (isId('task', text)) return text;
  if (isId('run', text))
    throw misused(`${text} is a run; this wants a task (tsk_…). \`nightshift show ${text}\` tells which task it belongs to.`);
  throw misused(`${quoted(text)} is not the id of a task (tsk_…). \`nightshift tasks\` lists them.`);
}

export function workspaceId(text: string): string {
  if (isId('workspace', text)) return text;
  throw misused(`${quoted(text)} is not the id of a workspace (wsp_…). \`nightshift workspaces\` lists them.`);
}

export function checkpointId(text: string): string {
  if (isId('checkpoint', text)) return text;
  throw misused(`${quoted(text)} is not the id of a checkpoint (chk_…). \`nightshift checkpoints RUN\` lists those of a run.`);
}

export function runId(text: string): string {
  if (isId('run', text)) return text;
  if (isId('task', text)) throw misused(`${text} is a task; this wants a run (run_…). \`nightshift show ${text}\` lists its runs.`);
  throw misused(`${quoted(text)} is not the id of a run (run_…). \`nightshift show TASK\` lists those of a task.`);
}

export function taskOrRunId(text: string): { readonly kind: 'task' | 'run'; readonly id: string } {
  if (isId('task', text)) return { kind: 'task', id: text };
  if (isId('run', text)) return { kind: 'run', id: text };
  throw misused(`${quoted(text)} is neither a task (tsk_…) nor a run (run_…). \`nightshift tasks\` lists tasks.`);
}

const quoted = (text: string): string => JSON.stringify(oneLine(text).slice(0, 60));
