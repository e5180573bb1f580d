import './style/tokens.css';
import './style/base.css';
import './style/parts.css';
import './style/pages.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { signIn, start } from './data/live.ts';
import { tellOfTasks } from './data/notifications.ts';
import { toast } from './parts/toast.tsx';
import { go } from './router.tsx';
import { applyTheme, chosenTheme } from './theme.ts';
import { followWorker, installWorker } from './worker.ts';

applyTheme(chosenTheme());

/** A login link carries its code in the fragment, which no server and no log ever sees; here it goes from the history as well. */
async function comeIn(): Promise<void> {
  const code = /^#login=([\w-]{10,100})$/.exec(location.hash)?.[1];
  if (code !== undefined) {
    history.replaceState(null, '', location.pathname);
    const answer = await signIn({ code });
    if (!answer.ok) toast('bad', answer.refusal.message);
  }
  await start();
}

void comeIn();
createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
installWorker();
followWorker(go);
tellOfTasks((text) => toast('bad', text));
