import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App, prepare } from './app.tsx';
import { tellOfTasks } from './data/notifications.ts';
import { toast } from './parts/toast.tsx';
import { routeOf } from './route.ts';
import { go } from './router.tsx';
import { followWorker } from './worker.ts';

/** Everything that is drawn. It comes apart from what fetches the data (main.ts), so that the two are on their way together. */
export function show(root: HTMLElement): void {
  prepare(routeOf(location.pathname));
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
  followWorker(go);
  tellOfTasks(complain);
}

export const complain = (text: string): void => toast('bad', text);
