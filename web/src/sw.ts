/// <reference lib="webworker" />
/**
 * Keeps the shell of the dashboard, so that it opens without a connection. What it shows then is kept by the page itself;
 * calls of the API never pass through here.
 */
const scope = self as unknown as ServiceWorkerGlobalScope;

/** Put in by the build: the version, and every file that the shell consists of. */
const shell = JSON.parse('__SHELL__') as { readonly version: string; readonly files: readonly string[] };
const place = `nightshift-shell-${shell.version}`;

scope.addEventListener('install', (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(place);
      await cache.addAll([...shell.files, '/']);
      await scope.skipWaiting();
    })(),
  );
});

scope.addEventListener('activate', (event) => {
  event.waitUntil(
    (async () => {
      const old = (await caches.keys()).filter((name) => name.startsWith('nightshift-shell-') && name !== place);
      await Promise.all(old.map((name) => caches.delete(name)));
      await scope.clients.claim();
    })(),
  );
});

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== 'GET' || origin !== scope.location.origin || /^\/(?:api|metrics|health|ready)(?:\/|$)/.test(pathname)) return;
  if (request.mode === 'navigate') event.respondWith(page(request));
  else if (shell.files.includes(pathname)) event.respondWith(kept(request, pathname));
});

interface Note {
  readonly title: string;
  readonly text: string;
  readonly path: string;
  readonly tag: string;
}

/** Told by the server, of which no page need be open (src/push/). */
scope.addEventListener('push', (event) => {
  if (!event.data) return;
  const { title, text: body, path, tag } = event.data.json() as Note;
  event.waitUntil(scope.registration.showNotification(title, { body, tag, icon: '/icon-192.png', data: { path } }));
});

/** A page that is open goes there; otherwise one is opened. */
scope.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const { path } = event.notification.data as { readonly path: string };
  event.waitUntil(
    (async () => {
      const [page] = await scope.clients.matchAll({ type: 'window' });
      if (!page) return scope.clients.openWindow(path);
      page.postMessage({ go: path });
      return page.focus();
    })(),
  );
});

/** The server's own page when it answers, so that an update is seen at once. */
async function page(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch {
    return (await caches.match('/', { cacheName: place })) ?? Response.error();
  }
}

async function kept(request: Request, pathname: string): Promise<Response> {
  return (await caches.match(pathname, { cacheName: place })) ?? fetch(request);
}
