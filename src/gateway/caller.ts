import type { CallKind } from '../domain/spending.ts';

/** On whose behalf a model call is made. Calls outside of a run have an id of their own in the place of the run's. */
export interface Caller {
  readonly runId: string;
  readonly taskId: string | null;
  readonly conversationId: string | null;
  readonly kind: CallKind;
}
