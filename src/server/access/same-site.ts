import type { HonoRequest } from 'hono';

/** Methods that change nothing. */
const safe = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Whether a request that a browser sends with our cookie comes from our own pages. Browsers say so in headers that no page
 * can set: `Sec-Fetch-Site` where the connection is trustworthy, `Origin` everywhere. SameSite cookies alone would let
 * another port or a sibling domain through.
 */
export function isFromOurPages(request: HonoRequest): boolean {
  if (safe.has(request.method)) return true;
  const site = request.header('sec-fetch-site');
  if (site !== undefined) return site === 'same-origin';
  const origin = request.header('origin');
  if (origin === undefined || !URL.canParse(origin)) return false;
  const { host } = new URL(origin);
  // A proxy in front may speak to us under another name, and then says which one was asked for.
  return host === request.header('host') || host === request.header('x-forwarded-host');
}
