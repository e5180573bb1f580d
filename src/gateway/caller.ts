/** What a call is for. Reactive talk is never stopped by the budget of proactive work. */
type CallKind = 'task' | 'reactive' | 'proactive' | 'review' | 'summary';

/** On whose behalf a model call is made. Calls outside of a run have an id of their own in the place of the run's. */
export interface Caller {
  readonly runId: string;
  readonly taskId: string | null;
  readonly conversationId: string | null;
  readonly kind: CallKind;
}
