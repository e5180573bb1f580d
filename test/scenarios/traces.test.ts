import { createECDH, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { git, write } from '../support/git-world.ts';
import { Api, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly status?: { readonly code: number };
}

const script = {
  name: 'traces',
  turns: [
    {
      when: { first: true },
      say: 'The agent says pomegranate.',
      call: { tool: 'Bash', input: { command: 'echo quince > f.txt', description: 'Work' } },
    },
    { say: 'I am done.' },
  ],
};

const traceId = '0af7651916cd43dd8448eb211c80319c';
const parent = 'b7ad6b7169203331';
const strangersTrace = '4bf92f3577b34da6a3ce929d0e0e4736';

describe('a server that is to tell a collector what takes how long', () => {
  let root: string;
  let server: ServerProcess;
  let collector: Server;
  let received = '';
  const spans: Span[] = [];
  const posts: { readonly path: string | undefined; readonly key: unknown }[] = [];

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-traces-'));
    const repository = join(root, 'repository');
    for (const directory of [join(root, 'home'), repository]) mkdirSync(directory);
    git(repository, 'init', '--quiet', '--initial-branch=main');
    write(repository, { 'README.md': '# Sample\n' });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
    writeFileSync(join(root, 'script.json'), JSON.stringify(script));
    collector = createServer(async (request, response) => {
      if (request.url === '/push/one') return void response.writeHead(201).end();
      let body = '';
      for await (const chunk of request) body += String(chunk);
      received += body;
      posts.push({ path: request.url, key: request.headers['x-key'] });
      const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] };
      spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
      response.end('{}');
    }).listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const away = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    server = spawnServer(join(root, 'home'), {
      NIGHTSHIFT_PUSH_SERVICES: away,
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
      OTEL_EXPORTER_OTLP_ENDPOINT: `${away}/`,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-key=with%20a%20secret',
      OTEL_SERVICE_NAME: 'night-watch',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test',
    });
    const api = new Api(await server.address, testToken);
    const { body } = await api.call<{ id: string }>('POST', '/api/tasks', {
      body: { title: 'Grow a persimmon', repository, engine: 'claude', verify: ['test', '-f', 'f.txt'] },
      headers: { traceparent: `00-${traceId}-${parent}-01` },
    });
    await api.becomes(body.id, 'succeeded');
    const signedIn = await api.call('POST', '/api/session', { body: { key: testToken }, key: null });
    const browser = createECDH('prime256v1');
    const keys = { p256dh: browser.generateKeys('base64url'), auth: randomBytes(16).toString('base64url') };
    await api.call('PUT', '/api/push', {
      key: null,
      body: { endpoint: `${away}/push/one`, keys },
      headers: { cookie: signedIn.headers.get('set-cookie')?.split(';')[0] ?? '', origin: api.address, 'sec-fetch-site': 'same-origin' },
    });
    const other = await api.submit({ title: 'Unasked', body: 'false', engine: 'command', maxAttempts: 1 });
    await api.becomes(other.id, 'failed');
    // Whoever began this trace wants none of it.
    await api.call('GET', '/api/queue', { headers: { traceparent: `00-${traceId.replace('0', '1')}-${parent}-00` } });
    const stranger = { traceparent: `00-${strangersTrace}-${parent}-01` };
    await api.call('GET', '/api/queue', { key: null, headers: stranger });
    await until('the browser to be told', async () => {
      const { body: sent } = await api.call<{ items: { state: string }[] }>('GET', '/api/outbox?channel=push');
      return sent.items.some(({ state }) => state === 'sent');
    });
    server.child.kill('SIGTERM');
    await server.exited;
  });

  afterAll(async () => {
    server?.child.kill('SIGKILL');
    collector?.close();
    rmSync(root, { recursive: true, force: true });
  });

  const inTrace = (): readonly Span[] => spans.filter((span) => span.traceId === traceId);
  const only = (name: string): Span => {
    const found = inTrace().filter((span) => span.name === name);
    expect(found, name).toHaveLength(1);
    return found[0] as Span;
  };
  const attribute = ({ attributes }: Span, key: string): unknown =>
    Object.values(attributes.find((each) => each.key === key)?.value ?? {})[0];

  test('puts a task below the request that asked for it, and all that happens in its run below the task', () => {
    const request = only('POST /api/tasks');
    const task = only('task');
    const run = only('run');
    const round = only('round');
    expect([request.parentSpanId, task.parentSpanId, run.parentSpanId, round.parentSpanId]).toEqual([
      parent,
      request.spanId,
      task.spanId,
      run.spanId,
    ]);
    expect(only('session').parentSpanId).toBe(run.spanId);
    expect(only('deliver').parentSpanId).toBe(run.spanId);
    expect(only('tool Bash').parentSpanId).toBe(round.spanId);
    expect(only('gate task').parentSpanId).toBe(round.spanId);
    const calls = inTrace().filter(({ name }) => name.startsWith('chat '));
    expect(calls).toHaveLength(2);
    for (const call of calls) {
      expect(call.parentSpanId).toBe(round.spanId);
      expect(attribute(call, 'gen_ai.usage.input_tokens')).toMatch(/^[1-9]\d*$/);
    }
    for (const { startTimeUnixNano, endTimeUnixNano, name } of inTrace()) {
      expect(BigInt(endTimeUnixNano) >= BigInt(startTimeUnixNano), name).toBe(true);
      expect(startTimeUnixNano).toMatch(/^\d{19}$/);
    }
    expect(attribute(run, 'nightshift.run.id')).toMatch(/^run_/);
    expect(attribute(task, 'nightshift.task.status')).toBe('succeeded');
  });

  test('gives a task that nobody traced a trace with its request, and says what failed', () => {
    const task = spans.find((span) => span.name === 'task' && span.traceId !== traceId);
    const mates = spans.filter((span) => span.traceId === task?.traceId);
    expect(mates.map(({ name }) => name)).toEqual(expect.arrayContaining(['POST /api/tasks', 'task', 'run']));
    expect(mates.filter(({ status }) => status?.code === 2).map(({ name }) => name)).toEqual(expect.arrayContaining(['task', 'run']));
  });

  test('puts what is sent below the task that it tells of, without a word of it and of who is told', () => {
    const message = spans.find(({ name }) => name === 'send push');
    const task = spans.find((span) => span.name === 'task' && span.traceId === message?.traceId);
    expect(message?.parentSpanId).toBe(task?.spanId);
    expect(attribute(message as Span, 'nightshift.message.result')).toBe('sent');
    expect(received).not.toContain('/push/one');
  });

  test('takes no trace from a stranger, who could have everything kept', () => {
    expect(received).not.toContain(strangersTrace);
    const refused = spans.filter((span) => attribute(span, 'http.response.status_code') === '401');
    expect(refused.map(({ name, parentSpanId }) => [name, parentSpanId])).toEqual([['GET /api/queue', undefined]]);
  });

  test('leaves out what its sender left out, and never tells what was asked, said or done, nor a key', () => {
    expect(spans.some((span) => span.name === 'GET /api/queue' && attribute(span, 'http.response.status_code') === '200')).toBe(false);
    expect(received).not.toMatch(/persimmon|pomegranate|quince|with a secret|echo/);
    expect(received).not.toContain(testToken);
    expect(received).toContain('{"key":"service.name","value":{"stringValue":"night-watch"}}');
    expect(received).toContain('{"key":"deployment.environment","value":{"stringValue":"test"}}');
    expect(new Set(posts.map(({ path, key }) => `${path} ${key}`))).toEqual(new Set(['/v1/traces with a secret']));
  });
});

test('a server that traces nothing loads nothing of it', () => {
  const source = fileURLToPath(new URL('../../src/', import.meta.url));
  const importing = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.startsWith('tracing/'))
    .flatMap((file) => readFileSync(join(source, file), 'utf8').match(/^.*['/]tracing\/.*$/gm) ?? []);
  expect(importing.length).toBeGreaterThan(0);
  for (const line of importing) expect(line).toMatch(/^import type |= await import\(/);
});
