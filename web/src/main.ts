import './style/tokens.css';
import './style/base.css';
import './style/parts.css';
import './style/pages.css';
import { signIn, start } from './data/live.ts';
import { reloadOnce } from './reload.ts';
import { routeOf } from './route.ts';
import { applyTheme, chosenTheme, onThemeElsewhere } from './theme.ts';
import { installWorker } from './worker.ts';

applyTheme(chosenTheme());
onThemeElsewhere(applyTheme);
const pages = import('./show.tsx');
pages.then(({ show }) => {
  show(document.getElementById('root') as HTMLElement);
  // It fetches all that there is; that can wait until this page has what it needs.
  installWorker();
}, explain);
void comeIn();

/** A login link carries its code in the fragment, which no server and no log ever sees; here it goes from the history as well. */
async function comeIn(): Promise<void> {
  const code = /^#login=([\w-]{10,100})$/.exec(location.hash)?.[1];
  if (code !== undefined) {
    history.replaceState(null, '', location.pathname);
    const answer = await signIn({ code });
    if (!answer.ok) void pages.then(({ complain }) => complain(answer.refusal.message), explain);
  }
  const route = routeOf(location.pathname);
  start(route.page === 'run' ? route.run : undefined);
}

async function explain(): Promise<void> {
  const status = document.querySelector('.arriving [role=status]');
  if (!(await reloadOnce()) && status) status.textContent = 'The dashboard could not be fetched. Reload the page.';
}
