import { type ReactNode, useState } from 'react';
import { runDemo } from '../data/demo.ts';
import { useLive, useMay } from '../data/use.ts';
import { go } from '../router.tsx';
import { Act } from './act.tsx';
import { Icon } from './icons.tsx';
import { CommandLine } from './text.tsx';
import { toast } from './toast.tsx';

/** Leads to the run as soon as there is one. Who may only look gets the command. */
export function DemoButton(): ReactNode {
  const may = useMay('operator');
  const live = useLive((state) => state.connection.kind === 'live');
  const [starting, setStarting] = useState(false);
  if (!may) return <CommandLine command="npx nightshift demo" />;
  const begin = async (): Promise<void> => {
    setStarting(true);
    const answer = await runDemo();
    setStarting(false);
    if (answer.ok) go(answer.value);
    else toast('bad', answer.refusal.message);
  };
  return (
    <div className="row">
      <Act className="primary" disabled={starting || !live} onClick={begin}>
        <Icon name="play" /> {starting ? 'Starting…' : 'Run the demo'}
      </Act>
    </div>
  );
}
