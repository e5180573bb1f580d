import type { MemoryAnswer, MemoryList } from './list.ts';
import { findList } from './probe.ts';
import { fail, type Wire } from './wire.ts';

/** The one connection to a list. It knows the dialect, and finds out anew when it is not understood any more. */
export interface MemoryLink {
  use<T>(ask: (list: MemoryList) => Promise<MemoryAnswer<T>>, signal: AbortSignal): Promise<MemoryAnswer<T>>;
}

export function memoryLink(wire: Wire, key: string | undefined): MemoryLink {
  let known: MemoryList | undefined;
  return {
    async use(ask, signal) {
      if (!known) {
        const found = await findList(wire, key, signal);
        if (!found.ok) return fail(found.failure);
        known = found.value;
      }
      const answered = await ask(known);
      // An update of the server may have brought another dialect; the next use finds out.
      if (!answered.ok && answered.failure.kind === 'not-understood') known = undefined;
      return answered;
    },
  };
}
