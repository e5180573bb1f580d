import { type ReactNode, useState } from 'react';
import { Act } from './act.tsx';
import { useFocusHandedOn } from './focus.ts';

interface Props {
  /** What the first button says, and what the one that does it says. */
  readonly ask: string;
  readonly yes: string;
  readonly no?: string;
  /** What it is about, for those who hear the buttons by themselves. */
  readonly of: string;
  readonly className?: string;
  readonly perform: () => Promise<void>;
}

/** A button for what cannot simply be undone: it asks once more, in its own place. */
export function Confirm({ ask, yes, no = 'Keep', of, className = 'quiet small', perform }: Props): ReactNode {
  const [asked, setAsked] = useState(false);
  const [busy, setBusy] = useState(false);
  const shown = useFocusHandedOn(asked);
  if (!asked) {
    return (
      <Act ref={shown} className={className} onClick={() => setAsked(true)} aria-label={`${ask} ${of}`}>
        {ask}
      </Act>
    );
  }
  const confirmed = async (): Promise<void> => {
    setBusy(true);
    await perform();
    setBusy(false);
    setAsked(false);
  };
  return (
    <>
      <Act className="small" ref={shown} disabled={busy} onClick={confirmed} aria-label={`${yes}: ${of}`}>
        {yes}
      </Act>
      <button type="button" className="quiet small" disabled={busy} onClick={() => setAsked(false)} aria-label={`${no}: ${of}`}>
        {no}
      </button>
    </>
  );
}
