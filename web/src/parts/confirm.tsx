import { type ReactNode, useEffect, useRef, useState } from 'react';

interface Props {
  /** What the first button says, and what the one that does it says. */
  readonly ask: string;
  readonly yes: string;
  readonly no?: string;
  /** What it is about, for those who hear the buttons by themselves. */
  readonly of: string;
  readonly className?: string;
  readonly disabled?: boolean;
  readonly perform: () => Promise<void>;
}

/** A button for what cannot simply be undone: it asks once more, in its own place. */
export function Confirm({ ask, yes, no = 'Keep', of, className = 'quiet small', disabled = false, perform }: Props): ReactNode {
  const [asked, setAsked] = useState(false);
  const [busy, setBusy] = useState(false);
  const answer = useRef<HTMLButtonElement>(null);
  // The focus goes on to where the question is answered.
  useEffect(() => {
    if (asked) answer.current?.focus();
  }, [asked]);
  if (!asked) {
    return (
      <button type="button" className={className} disabled={disabled} onClick={() => setAsked(true)} aria-label={`${ask} ${of}`}>
        {ask}
      </button>
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
      <button type="button" className="small" ref={answer} disabled={busy} onClick={confirmed} aria-label={`${yes}: ${of}`}>
        {yes}
      </button>
      <button type="button" className="quiet small" disabled={busy} onClick={() => setAsked(false)} aria-label={`${no}: ${of}`}>
        {no}
      </button>
    </>
  );
}
