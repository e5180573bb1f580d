import { createRoute, z } from '@hono/zod-openapi';
import { html, raw } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';
import type { App } from '../env.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';

const tags = ['Documentation'];

type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

interface Schema {
  readonly type?: string | readonly string[];
  readonly $ref?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly format?: string;
}

interface Operation {
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema?: Schema;
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> }>
  >;
}

interface OpenApi {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas?: Readonly<Record<string, Schema>> };
}

export function openApiOf(app: App, version: string): OpenApi {
  app.openAPIRegistry.registerComponent('securitySchemes', 'key', { type: 'http', scheme: 'bearer' });
  app.openAPIRegistry.registerComponent('securitySchemes', 'signature', { type: 'apiKey', in: 'header', name: 'x-hub-signature-256' });
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Nightshift', version, description: 'Tasks, runs and events of a Nightshift server.' },
    security: [{ key: [] }],
  }) as unknown as OpenApi;
}

/** The contract, for programs and for eyes. Both come from the routes' own schemas, so they cannot drift. */
export function docsRoutes(describe: () => OpenApi): App {
  const router = newRouter();
  let known: OpenApi | undefined;
  const document = (): OpenApi => {
    known ??= describe();
    return known;
  };
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/openapi.json',
      tags,
      summary: 'This document',
      responses: { 200: json(z.record(z.string(), z.unknown()), 'OpenAPI 3.1.'), ...answers(401) },
    }),
    (context) => context.json({ ...document() }, 200),
  );
  const docs = createRoute({
    method: 'get',
    'x-role': 'viewer',
    path: '/docs',
    tags,
    summary: 'This document as a page',
    responses: { 200: { description: 'The page.', content: { 'text/html': { schema: z.string() } } }, ...answers(401) },
  });
  router.openapi(docs, (context) => {
    context.header(
      'content-security-policy',
      "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    return context.html(page(document()), 200);
  });
  return router;
}

function page({ info, paths, components }: OpenApi): Html {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const tags = [...new Set(operations.map(({ operation }) => operation.tags?.[0] ?? 'Other'))];
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${info.title} API</title>
<style>${raw(style)}</style>
</head>
<body>
<header><h1>${info.title} API <small>${info.version}</small></h1>
<p>${info.description} Every route but <code>/health</code>, <code>/ready</code> and the webhooks wants <code>Authorization: Bearer KEY</code>. The same as <a href="/api/openapi.json">OpenAPI 3.1</a>.</p>
<nav>${tags.map((tag) => html`<a href="#${tag}">${tag}</a> `)}<a href="#schemas">Schemas</a></nav></header>
<main>
${tags.map((tag) => html`<section><h2 id="${tag}">${tag}</h2>${operations.filter(({ operation }) => (operation.tags?.[0] ?? 'Other') === tag).map(operationView)}</section>`)}
<section><h2 id="schemas">Schemas</h2>${Object.entries(components.schemas ?? {}).map(([name, schema]) => html`<details id="schema-${name}"><summary>${name}</summary>${fields(schema)}</details>`)}</section>
</main>
</body>
</html>`;
}

function operationView({ path, method, operation }: { path: string; method: string; operation: Operation }): Html {
  const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  return html`<details>
<summary><b class="${method}">${method.toUpperCase()}</b> <code>${path}</code> <span>${operation.summary}</span></summary>
${operation.description ? html`<p>${operation.description}</p>` : ''}
${operation.parameters?.length ? html`<h3>Parameters</h3><dl>${operation.parameters.map((each) => html`<dt><code>${each.name}</code> <i>${each.in}${each.required ? ', required' : ''}</i></dt><dd>${typeOf(each.schema ?? {})} ${each.description ?? each.schema?.description}</dd>`)}</dl>` : ''}
${body ? html`<h3>Body</h3><p>${typeOf(body)}</p>` : ''}
<h3>Answers</h3><dl>${Object.entries(operation.responses).map(([status, answer]) => {
    const schema = Object.values(answer.content ?? {})[0]?.schema;
    return html`<dt><code>${status}</code> ${schema ? typeOf(schema) : ''}</dt><dd>${answer.description}</dd>`;
  })}</dl>
</details>`;
}

function fields(schema: Schema): Html {
  return html`<dl>${Object.entries(schema.properties ?? {}).map(
    ([name, field]) =>
      html`<dt><code>${name}</code> <i>${schema.required?.includes(name) ? 'required' : ''}</i></dt><dd>${typeOf(field)} ${field.description}</dd>`,
  )}</dl>`;
}

function typeOf(schema: Schema): Html {
  const name = schema.$ref?.split('/').at(-1);
  if (name) return html`<a href="#schema-${name}">${name}</a>`;
  if (schema.enum) return html`<code>${schema.enum.map((each) => JSON.stringify(each)).join(' | ')}</code>`;
  if (schema.anyOf) return html`${schema.anyOf.map((each, index) => html`${index > 0 ? ' or ' : ''}${typeOf(each)}`)}`;
  if (schema.items) return html`list of ${typeOf(schema.items)}`;
  if (schema.properties) return fields(schema);
  return html`<code>${[schema.type ?? 'any'].flat().join(' | ')}${schema.format ? ` (${schema.format})` : ''}</code>`;
}

const style = `
:root{color-scheme:light dark;--line:light-dark(#d8dce3,#30363f);--soft:light-dark(#5a6472,#9aa4b2);--accent:light-dark(#2f5bd0,#8fb0ff)}
body{font:15px/1.55 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1.5rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}h3{font-size:.9rem;margin:.8rem 0 .2rem;color:var(--soft)}
small,i,summary span,dd{color:var(--soft)}a{color:var(--accent)}nav a{margin-right:.8rem}
details{border:1px solid var(--line);border-radius:8px;margin:.5rem 0;padding:.6rem .9rem}summary{cursor:pointer}
code{font:13px ui-monospace,monospace}b{display:inline-block;min-width:4.2em;font-size:.8rem}
dl{margin:.2rem 0}dd{margin:0 0 .5rem 1rem}
`;
