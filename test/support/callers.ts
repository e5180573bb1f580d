import type { Caller } from '../../src/gateway/caller.ts';

export const callerOf = (runId: string, others: Partial<Caller> = {}): Caller => ({
  runId,
  taskId: null,
  conversationId: null,
  kind: 'task',
  ...others,
});
