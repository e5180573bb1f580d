import { workerReady } from '../worker.ts';
import { type Answer, call, get } from './api.ts';
import { currentState, subscribe } from './live.ts';
import type { State } from './state.ts';
import { needyStatuses, type TaskView } from './views.ts';

/** How this browser is told of what waits for a person. */
export type Telling =
  /** It cannot be: not over a connection that it trusts, or it knows of no notifications. */
  | 'impossible'
  /** The person has told the browser no; only the browser can take that back. */
  | 'blocked'
  | 'off'
  /** While a page is open. */
  | 'page'
  /** Also when none is. */
  | 'push';

interface Push {
  readonly publicKey: string;
  readonly subscribed: boolean;
}

const wishKey = 'nightshift-notifications';

export async function howTold(): Promise<Telling> {
  if (!('Notification' in window) || !('serviceWorker' in navigator)) return 'impossible';
  if (Notification.permission === 'denied') return 'blocked';
  if (Notification.permission !== 'granted' || !isWished()) return 'off';
  const answer = await get<Push>('/push');
  return answer.ok && answer.value.subscribed ? 'push' : 'page';
}

/** Asks the person, so it is to be called only when one has pressed a button. */
export async function beTold(): Promise<Telling> {
  if ((await Notification.requestPermission()) !== 'granted') return howTold();
  wish(true);
  await renew();
  return howTold();
}

export async function beToldNoMore(): Promise<Answer<unknown>> {
  const subscription = await (await workerReady())?.pushManager?.getSubscription();
  const answer = await call('DELETE', '/push');
  if (!answer.ok) return answer;
  wish(false);
  await subscription?.unsubscribe();
  return answer;
}

/** Subscribes where that can be, for the session that there is now. A browser without a push service is told by its pages alone. */
async function renew(): Promise<void> {
  const [manager, asked] = [(await workerReady())?.pushManager, await get<Push>('/push')];
  if (!manager || !asked.ok) return;
  const key = bytesOf(asked.value.publicKey);
  try {
    const known = await manager.getSubscription();
    // One that was made for another server, or for this one before it was restored, would never be heard of again.
    if (known && !isSame(known.options.applicationServerKey, key)) await known.unsubscribe();
    const { endpoint, keys } = (await manager.subscribe({ userVisibleOnly: true, applicationServerKey: key })).toJSON();
    await call('PUT', '/push', { endpoint, keys });
  } catch {
    // No push service, or it is away: `howTold` says so.
  }
}

/** Tells of tasks as they come to need somebody, for as long as the page is open. `inPage` says it to who is looking at it. */
export function tellOfTasks(inPage: (text: string) => void): void {
  let before: State = currentState();
  let renewedFor: string | null | undefined;
  subscribe(() => {
    const [old, now] = [before, currentState()];
    before = now;
    const session = now.session?.expiresAt;
    if (now.connection.kind === 'live' && session !== undefined && session !== renewedFor) {
      renewedFor = session;
      if ('Notification' in window && Notification.permission === 'granted' && isWished()) void renew();
    }
    // A first look, or one after a long time away, is no news.
    if (old.tasks === now.tasks || !old.loaded || old.snapshot !== now.snapshot) return;
    for (const task of now.tasks.values()) if (isNews(old.tasks.get(task.id), task)) tell(task, inPage);
  });
}

function isNews(old: TaskView | undefined, { status, createdAt, reason }: TaskView): boolean {
  if (old?.status === status || !(status === 'failed' || needyStatuses.includes(status))) return false;
  if (reason?.code === 'dependency-failed') return false;
  // What was only now fetched, as by scrolling, has long been so.
  return old !== undefined || Date.now() - Date.parse(createdAt) < freshMs;
}

const freshMs = 60_000;

function tell(task: TaskView, inPage: (text: string) => void): void {
  const note = noteOf(task);
  if (document.visibilityState === 'visible') {
    inPage(note.title);
    return;
  }
  void howTold().then(async (telling) => {
    // Where the server pushes, it tells by itself.
    if (telling !== 'page') return;
    const { title, text: body, path, tag } = note;
    await (await workerReady())?.showNotification(title, { body, tag, icon: '/icon-192.png', data: { path } });
  });
}

const headings: Partial<Record<TaskView['status'], string>> = {
  'awaiting-approval': 'Needs approval',
  escalated: 'Needs you',
  'over-budget': 'Over its budget',
  failed: 'Failed',
};

function noteOf({ id, status, title, reason, runs }: TaskView) {
  const run = runs.at(-1);
  return {
    title: `${headings[status]}: ${title}`,
    text: reason?.message ?? 'It waits for you to approve it.',
    path: status === 'failed' && run ? `/runs/${run.id}` : `/tasks/${id}`,
    tag: id,
  };
}

/** A browser may refuse to keep anything; then it is not told. */
function isWished(): boolean {
  try {
    return localStorage.getItem(wishKey) === 'on';
  } catch {
    return false;
  }
}

function wish(on: boolean): void {
  try {
    if (on) localStorage.setItem(wishKey, 'on');
    else localStorage.removeItem(wishKey);
  } catch {
    // As above.
  }
}

const bytesOf = (base64url: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(base64url.replaceAll('-', '+').replaceAll('_', '/')), (each) => each.charCodeAt(0));

const isSame = (one: ArrayBuffer | null, other: Uint8Array): boolean =>
  one !== null && one.byteLength === other.length && new Uint8Array(one).every((byte, at) => byte === other[at]);
