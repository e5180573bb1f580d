import { hash } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { html, raw } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';
import type { AppEnv } from '../env.ts';
import type { Pages } from './pages.ts';

/**
 * Scripts, styles, images and calls come from this server alone, nothing is inline, nobody frames us, and the one place
 * where a page may turn text into a script's address (the service worker's) goes through a named policy.
 */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types nightshift',
].join('; ');

/**
 * The dashboard, to anybody who asks: it holds no data, which come through the API. A page that a browser opens is the
 * shell, whatever its path; the shell knows its pages.
 */
export function servePages(pages: Pages, isRoute: (path: string) => boolean): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    const { method, path } = context.req;
    if ((method !== 'GET' && method !== 'HEAD') || path.startsWith('/api/') || isRoute(path)) return next();
    const opened = path === '/' || (context.req.header('accept') ?? '').includes('text/html');
    pages.prepare();
    const state = pages.state();
    if (state.kind !== 'ready') return opened ? explain(context, state.kind === 'unavailable' ? state.why : undefined) : next();
    const encodings = context.req.header('accept-encoding') ?? '';
    const file = pages.read(path.slice(1), encodings) ?? (opened ? pages.read('index.html', encodings) : undefined);
    if (!file) return next();

    context.header('cache-control', file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache');
    context.header('etag', file.etag);
    context.header('vary', 'accept-encoding');
    context.header('content-security-policy', contentSecurityPolicy);
    context.header('cross-origin-opener-policy', 'same-origin');
    context.header('cross-origin-resource-policy', 'same-origin');
    context.header('permissions-policy', 'camera=(), microphone=(), geolocation=(), payment=(), usb=()');
    if (context.req.header('if-none-match') === file.etag) return context.body(null, 304);
    context.header('content-type', file.type);
    context.header('content-length', String(file.body.byteLength));
    if (file.encoding !== undefined) context.header('content-encoding', file.encoding);
    return method === 'HEAD' ? context.body(null, 200) : context.body(file.body, 200);
  };
}

/** A login link keeps its code behind the `#`: to a browser a refresh of such an address is a jump within the page, which loads nothing. */
const reload = 'setTimeout(()=>location.reload(),1000)';
const reloadHash = hash('sha256', reload, 'base64');

/** Until the dashboard is there. Reloads itself, also without scripts. */
function explain(context: Context<AppEnv>, why: string | undefined): Response | Promise<Response> {
  context.header(
    'content-security-policy',
    `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${reloadHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  );
  context.header('cache-control', 'no-store');
  if (why === undefined) context.header('retry-after', '2');
  return context.html(
    why === undefined
      ? page('The dashboard is being prepared', 'This happens once and takes a few seconds. The page reloads by itself.', true)
      : page('There is no dashboard', why, false),
    503,
  );
}

const page = (title: string, text: string, again: boolean): HtmlEscapedString | Promise<HtmlEscapedString> => html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">${again ? html`<script>${raw(reload)}</script><noscript><meta http-equiv="refresh" content="1"></noscript>` : ''}
<title>Nightshift</title>
<style>
:root{color-scheme:light dark}
body{font:15px/1.6 system-ui,sans-serif;display:grid;place-content:center;min-height:100vh;margin:0;padding:1.5rem;box-sizing:border-box;background:light-dark(#fbfaf8,#0f1117);color:light-dark(#1c1e26,#e8e9ee)}
main{max-width:34rem}h1{font-size:1.15rem;margin:0 0 .4rem}p{margin:0;color:light-dark(#5b6070,#a3a8b8);overflow-wrap:anywhere}
</style>
</head>
<body><main><h1>${title}</h1><p role="status">${text}</p></main></body>
</html>`;
