import { type ReactNode, useState } from 'react';
import { Icon } from './icons.tsx';

interface Props {
  readonly title: string;
  /** The line below the title. */
  readonly about: ReactNode;
  /** What stands at the end of the row: badges, and then what can be done. */
  readonly badges?: ReactNode;
  readonly actions?: ReactNode;
  /** What is unfolded; drawn only then. */
  readonly children: () => ReactNode;
}

/** A row that unfolds. What can be done with it is there without unfolding. */
export function Entry({ title, about, badges, actions, children }: Props): ReactNode {
  const [open, setOpen] = useState(false);
  return (
    <li className="card entry">
      <div className="item">
        <div className="grow">
          <button type="button" className="unfold" aria-expanded={open} onClick={() => setOpen(!open)}>
            <Icon name="chevron" size={16} />
            <span className="title">{title}</span>
          </button>
          <div className="step whole">{about}</div>
        </div>
        {badges}
        {actions && <div className="row">{actions}</div>}
      </div>
      {open && <div className="entry-body">{children()}</div>}
    </li>
  );
}
