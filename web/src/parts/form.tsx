import { type FormEvent, type ReactNode, type SyntheticEvent, useId, useLayoutEffect, useRef } from 'react';
import type { Refusal } from '../data/api.ts';
import { useAway } from '../data/use.ts';
import { Act, whyNot } from './act.tsx';
import { Icon } from './icons.tsx';

interface DialogProps {
  readonly title: string;
  /** What the button says that sends it. */
  readonly submit: string;
  readonly busy: boolean;
  readonly refusal: Refusal | undefined;
  readonly onSubmit: (event: FormEvent<HTMLFormElement>) => Promise<void>;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

/** A form in front of the page, open for as long as it is there. On a phone it takes the whole screen. */
export function FormDialog({ title, submit, busy, refusal, onSubmit, onClose, children }: DialogProps): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const away = useAway();
  // Closed before it is taken away, for only then the focus goes back to where it came from.
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    // Not on the button that closes it, which is the first that can have the focus.
    shown?.querySelector<HTMLElement>('.dialog-body :is(input, textarea, select)')?.focus();
    return () => shown?.close();
  }, []);
  // At once, like the buttons: the browser tells only later that it has closed it, when it may have been opened again.
  const cancel = (event: SyntheticEvent<HTMLDialogElement>): void => {
    event.preventDefault();
    onClose();
  };
  return (
    <dialog ref={dialog} className="dialog" onCancel={cancel} onClose={onClose} aria-labelledby={id}>
      <form onSubmit={onSubmit}>
        <header>
          <h2 id={id}>{title}</h2>
          <button type="button" className="ghost" aria-label="Close" onClick={onClose}>
            <Icon name="close" />
          </button>
        </header>
        <div className="dialog-body">{children}</div>
        <footer>
          <p className="refused" role="alert">
            {away ? whyNot : refusal?.message}
          </p>
          <button type="button" className="quiet" onClick={onClose}>
            Cancel
          </button>
          <Act type="submit" className="primary" disabled={busy}>
            {submit}
          </Act>
        </footer>
      </form>
    </dialog>
  );
}

interface FieldProps {
  readonly name: string;
  readonly label: string;
  readonly hint?: string;
  readonly refused: Readonly<Record<string, string>>;
  readonly children: (props: {
    readonly id: string;
    readonly name: string;
    readonly 'aria-invalid': boolean;
    readonly 'aria-describedby': string;
  }) => ReactNode;
}

/** One thing to fill in, with what it is for or why it was refused. */
export function Field({ name, label, hint, refused, children }: FieldProps): ReactNode {
  const id = useId();
  const why = refused[name];
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, name, 'aria-invalid': why !== undefined, 'aria-describedby': `${id}-hint` })}
      <p id={`${id}-hint`} className={why === undefined ? 'hint-line' : 'refused'}>
        {why ?? hint}
      </p>
    </div>
  );
}
