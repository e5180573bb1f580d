import type { OutgoingMessage } from '../../domain/mail.ts';
import type { Task } from '../../domain/task.ts';
import type { Reporter } from '../../outbox/announce.ts';
import type { Channel, Sending } from '../../outbox/channel.ts';
import type { MemoryLink } from './link.ts';
import type { MemoryFailure, Said } from './list.ts';
import { type MemoryAddress, memorySource, statusKey } from './source.ts';

/** `seenAt` makes the same words, said again because the list did not keep them, others. */
type Report = MemoryAddress & Said & { readonly seenAt?: number };

/** Tells the list how it stands with what came from it. A later word replaces an earlier one that has not gone out. */
export const memoryReporter: Reporter = {
  source: memorySource,
  // It was put in progress when it was claimed, before it became a task.
  taken: async () => [],
  async changed(_, task, { address, trigger }) {
    const where = address as MemoryAddress;
    switch (task.status) {
      case 'running':
        return [reportOf(task, trigger, { ...where, status: 'in_progress' })];
      case 'succeeded':
        return [reportOf(task, trigger, { ...where, status: 'completed' })];
      case 'failed':
      case 'escalated':
      case 'over-budget':
      case 'cancelled':
        return [reportOf(task, trigger, { ...where, status: 'blocked', reason: task.reason?.message ?? 'It was called off.' })];
      default:
        return [];
    }
  },
};

export const reportOf = (task: Task, trigger: string, body: Report): OutgoingMessage => ({
  channel: memorySource,
  recipient: body.item,
  kind: 'status',
  key: statusKey(trigger),
  body,
  taskId: task.id,
});

/** To say the same twice is to say it once here, so nothing has to be looked for. */
export const memoryChannel = (link: MemoryLink, ours: string): Channel => ({
  name: memorySource,
  async send({ body, ref }, signal) {
    const { list, item, seenAt: _, ...said } = body as Report;
    if (list !== ours) {
      return { kind: 'refused', code: 'other-list', message: 'It is for another list than the one that MEMORY_MCP_URL names now.' };
    }
    const told = await link.use((list) => list.report(item, said, signal), signal);
    return told.ok || told.failure.kind === 'no-such-item' ? { kind: 'sent', ref } : sendingOf(told.failure);
  },
});

export function sendingOf({ kind, message: why, ...more }: MemoryFailure): Sending {
  if (kind === 'unsupported') return { kind: 'refused', code: 'memory-unsupported', message: why };
  const afterMs = kind === 'refused' ? 300_000 : 'afterMs' in more ? more.afterMs : undefined;
  return {
    kind: 'retry',
    code: `memory-${kind}`,
    message: why,
    doubtful: false,
    ...(afterMs === undefined ? {} : { afterMs, wholeChannel: true as const }),
  };
}
