import { useEffect, useState, useSyncExternalStore } from 'react';
import { currentState, currentTranscripts, subscribe } from './live.ts';
import type { State } from './state.ts';
import type { Transcript } from './transcript.ts';
import { mayAct, type Role } from './views.ts';

/** A part of the state; the component is drawn again when that part is another. */
export const useLive = <T>(select: (state: State) => T): T => useSyncExternalStore(subscribe, () => select(currentState()));

/** Whether who is signed in may do what takes this role. */
export const useMay = (needed: Role): boolean => useLive(({ session }) => mayAct(session, needed));

/** Whether the server does not answer: what is shown is from before, and nothing can be done. */
export const useAway = (): boolean => useLive(({ connection }) => connection.kind === 'lost');

/** Undefined as long as nothing of it is here. */
export const useTranscript = (runId: string): Transcript | undefined =>
  useSyncExternalStore(subscribe, () => currentTranscripts().get(runId));

/** The time, again and again. */
export function useNow(everyMs = 1_000): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** Does it again and again for as long as it is wanted, and the server can be asked. */
export function useRepeat(wanted: boolean, everyMs: number, action: () => void): void {
  const live = useLive((state) => state.connection.kind === 'live');
  useEffect(() => {
    if (!wanted || !live) return;
    const timer = setInterval(() => document.visibilityState === 'visible' && action(), everyMs);
    return () => clearInterval(timer);
  }, [wanted, live, everyMs, action]);
}

/** What it has been for a moment: a search is not sent for every letter. */
export function useSettled<T>(value: T, ms = 250): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
