interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(text: string): string }): { createScriptURL(text: string): string };
}

/** The dashboard without a connection. The one script address that a page makes from text, under the one policy for that. */
export function installWorker(): void {
  if (!('serviceWorker' in navigator)) return;
  const { trustedTypes } = window as { readonly trustedTypes?: TrustedTypes };
  const address = '/sw.js';
  const trusted = trustedTypes?.createPolicy('nightshift', {
    createScriptURL(text) {
      if (text !== address) throw new TypeError(`${text} is no script of ours`);
      return text;
    },
  });
  // Without it everything works but offline reading, so a browser that refuses is left in peace.
  navigator.serviceWorker.register(trusted?.createScriptURL(address) ?? address).catch(() => undefined);
}

/** The worker once it works; undefined where there is none. */
export async function workerReady(): Promise<ServiceWorkerRegistration | undefined> {
  if (!('serviceWorker' in navigator) || !(await navigator.serviceWorker.getRegistration())) return undefined;
  return navigator.serviceWorker.ready;
}

/** A notification that was tapped leads somewhere; a page that is open already goes there. */
export function followWorker(go: (path: string) => void): void {
  if (!('serviceWorker' in navigator)) return;
  navigator.serviceWorker.addEventListener('message', ({ data }: MessageEvent<{ readonly go?: unknown } | null>) => {
    if (typeof data?.go === 'string' && data.go.startsWith('/')) go(data.go);
  });
}
