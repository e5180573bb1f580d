import { type ReactNode, useState } from 'react';
import { useMay } from '../data/use.ts';
import { Act } from './act.tsx';
import { Lazily, lazyPart } from './lazily.tsx';

const form = lazyPart(async () => (await import('./new-task.tsx')).NewTask);

interface Props {
  readonly className?: string;
  readonly children: ReactNode;
}

/** For who may. The form is fetched when somebody is about to press it. */
export function NewTaskButton({ className = '', children }: Props): ReactNode {
  const [open, setOpen] = useState(false);
  if (!useMay('operator')) return null;
  return (
    <>
      <Act className={className} onClick={() => setOpen(true)} onPointerEnter={form.ahead} onFocus={form.ahead}>
        {children}
      </Act>
      {open && <Lazily part={form} props={{ onClose: () => setOpen(false) }} meanwhile={null} />}
    </>
  );
}
