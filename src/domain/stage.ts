import type { NewEvent } from './event.ts';

/** Where a run stands, as somebody who waits for it wants to know. */
export type Stage = 'working' | 'verifying' | 'delivering';

/** The stage that begins with an event; undefined when it changes nothing about that. */
export function stageFrom(event: NewEvent): Stage | undefined {
  switch (event.type) {
    case 'run.gate':
      return 'verifying';
    case 'run.round':
      if (event.data.decision === 'stop') return undefined;
      return event.data.decision === 'finish' ? 'delivering' : 'working';
    default:
      return undefined;
  }
}
