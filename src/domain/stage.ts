import type { NewEvent } from './event.ts';

/** Where a run stands, as somebody who waits for it wants to know. */
export type Stage = 'working' | 'verifying' | 'delivering';

/** The stage that begins with an event; undefined when it changes nothing about that. */
export function stageFrom(event: NewEvent): Stage | undefined {
  switch (event.type) {
    case 'run.verified':
      return event.data.passed ? 'delivering' : undefined;
    default:
      return undefined;
  }
}
