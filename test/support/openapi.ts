/** The part of JSON Schema that the served document uses. A keyword that is not known here fails the check, so none is passed over. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly format?: string;
  readonly [keyword: string]: unknown;
}

interface Operation {
  readonly summary?: string;
  readonly security?: readonly unknown[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean; readonly schema?: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<
    Record<string, { readonly description?: string; readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> }>
  >;
}

export interface OpenApi {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly security?: readonly unknown[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas?: Readonly<Record<string, Schema>>;
    readonly securitySchemes?: Readonly<Record<string, unknown>>;
    readonly [part: string]: unknown;
  };
}

export interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

export const routesOf = ({ paths }: OpenApi): readonly Route[] =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );

const patterns = new Map<string, RegExp>();

function patternOf(path: string): RegExp {
  const known = patterns.get(path) ?? new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`);
  patterns.set(path, known);
  return known;
}

/** The route that serves a request, as a client of the document would find it. */
export function routeFor(document: OpenApi, method: string, path: string): Route | undefined {
  const { pathname } = new URL(path, 'http://server');
  return routesOf(document).find((route) => route.method === method && patternOf(route.path).test(pathname));
}

/** What is wrong with an answer by the document, or nothing. */
export function answerFaults(document: OpenApi, { operation, method, path }: Route, status: number, type: string, body: unknown): string[] {
  const response = operation.responses[status];
  if (!response) return [`${method} ${path} does not list an answer ${status}`];
  const content = response.content?.[type.split(';')[0]?.trim() ?? ''];
  if (!content) return response.content === undefined ? [] : [`${method} ${path} does not list ${type} for ${status}`];
  return content.schema ? faults(document, content.schema, body, `${method} ${path} ${status}`) : [];
}

const annotations = new Set(['description', 'example', 'examples', 'default', 'title', 'deprecated']);
const limits = new Set([
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'pattern',
]);
const checked = new Set([
  '$ref',
  'type',
  'const',
  'enum',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'anyOf',
  'oneOf',
  'format',
  'propertyNames',
]);

function faults(document: OpenApi, schema: Schema, value: unknown, at: string): string[] {
  const unknown = Object.keys(schema).filter((keyword) => !annotations.has(keyword) && !limits.has(keyword) && !checked.has(keyword));
  if (unknown.length > 0) return [`${at}: the check does not know ${unknown.join(', ')}`];
  if (schema.$ref !== undefined) {
    const target = resolveRef(document, schema.$ref);
    return target ? faults(document, target, value, at) : [`${at}: ${schema.$ref} leads nowhere`];
  }
  const options = schema.anyOf ?? schema.oneOf;
  if (options) {
    const tried = options.map((option) => faults(document, option, value, at));
    return tried.some(({ length }) => length === 0) ? [] : tried.flat();
  }
  if ('const' in schema && schema.const !== value) return [`${at}: ${JSON.stringify(value)} is not ${JSON.stringify(schema.const)}`];
  if (schema.enum && !schema.enum.includes(value)) return [`${at}: ${JSON.stringify(value)} is none of ${JSON.stringify(schema.enum)}`];
  if (schema.type !== undefined && ![schema.type].flat().some((type) => isOf(type, value))) {
    return [`${at}: ${JSON.stringify(value)?.slice(0, 80)} is not ${[schema.type].flat().join(' or ')}`];
  }
  if (
    schema.format === 'date-time' &&
    typeof value === 'string' &&
    !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value)
  ) {
    return [`${at}: ${value} is not a date-time`];
  }
  if (Array.isArray(value)) return value.flatMap((item, index) => faults(document, schema.items ?? {}, item, `${at}[${index}]`));
  if (typeof value === 'object' && value !== null) return fieldFaults(document, schema, value as Record<string, unknown>, at);
  return [];
}

function fieldFaults(document: OpenApi, schema: Schema, value: Readonly<Record<string, unknown>>, at: string): string[] {
  const absent = (schema.required ?? []).filter((name) => !(name in value)).map((name) => `${at}: ${name} is absent`);
  const own = Object.entries(value).flatMap(([name, field]) => {
    const known = schema.properties?.[name];
    if (known) return faults(document, known, field, `${at}.${name}`);
    if (typeof schema.additionalProperties === 'object') return faults(document, schema.additionalProperties, field, `${at}.${name}`);
    // A field that the document does not tell of is one that clients cannot know.
    return schema.properties && schema.additionalProperties !== true ? [`${at}: ${name} is not in the document`] : [];
  });
  return [...absent, ...own];
}

export function resolveRef(document: OpenApi, ref: string): Schema | undefined {
  const name = /^#\/components\/schemas\/(.+)$/.exec(ref)?.[1];
  return name === undefined ? undefined : document.components.schemas?.[name];
}

function isOf(type: string, value: unknown): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
