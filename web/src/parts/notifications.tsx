import { type ReactNode, useEffect, useState } from 'react';
import { beTold, beToldNoMore, howTold, type Telling } from '../data/notifications.ts';
import { Act } from './act.tsx';
import { toast } from './toast.tsx';

const words: Readonly<Record<Telling, string>> = {
  impossible: 'This browser shows notifications only of pages that came over https, or from this very machine.',
  blocked: 'This browser was told not to show notifications of this page. Its settings can allow them again.',
  off: 'Be told when a task waits for you or has failed. The browser asks you first.',
  page: 'You are told while a page of the dashboard is open. This browser has no push service to tell you otherwise.',
  push: 'You are told also when no page is open, for as long as you are logged in.',
};

/** Asked for here and nowhere else: a page that asks unbidden is refused. */
export function Notifications(): ReactNode {
  const [telling, setTelling] = useState<Telling>();
  const [busy, setBusy] = useState(false);
  useEffect(() => void howTold().then(setTelling), []);
  const change = async (action: () => Promise<Telling>): Promise<void> => {
    setBusy(true);
    setTelling(await action());
    setBusy(false);
  };
  const stop = async (): Promise<Telling> => {
    const answer = await beToldNoMore();
    if (!answer.ok) toast('bad', answer.refusal.message);
    return howTold();
  };
  return (
    <section className="card" aria-label="Notifications">
      <h2>Notifications</h2>
      <p className="soft" role="status">
        {telling === undefined ? 'Looking…' : words[telling]}
      </p>
      {telling === 'off' && (
        <div className="row">
          <Act disabled={busy} onClick={() => change(beTold)}>
            Turn on notifications
          </Act>
        </div>
      )}
      {(telling === 'page' || telling === 'push') && (
        <div className="row">
          <Act disabled={busy} onClick={() => change(stop)}>
            Turn off notifications
          </Act>
        </div>
      )}
    </section>
  );
}
