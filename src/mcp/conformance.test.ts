import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer, testToken } from '../../test/support/server.ts';

/**
 * The parts of the protocol that we do not have, and say so when a client connects. All else of its own suite has to pass;
 * the suite also fails when one of these passes.
 */
const notClaimed = [
  'logging-set-level',
  'completion-complete',
  'tools-call-image',
  'tools-call-audio',
  'tools-call-embedded-resource',
  'tools-call-mixed-content',
  'tools-call-with-logging',
  'tools-call-sampling',
  'tools-call-elicitation',
  // Without sessions there are no streams to take up again.
  'server-sse-polling',
  'server-sse-multiple-streams',
  // It wants a tool whose schema has every keyword there is.
  'json-schema-2020-12',
  'elicitation-sep1034-defaults',
  'elicitation-sep1330-enums',
  'resources-read-binary',
  'resources-subscribe',
  'resources-unsubscribe',
  'prompts-list',
  'prompts-get-simple',
  'prompts-get-with-args',
  'prompts-get-embedded-resource',
  'prompts-get-with-image',
];

let home: string;
let server: TestServer;
let door: Server;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'nightshift-mcp-suite-'));
  server = await startTestServer({ home, databaseUrl: undefined });
  door = createServer(async (incoming, outgoing) => {
    const asked = await text(incoming);
    const body = incoming.method === 'POST' ? await inOurWords(asked) : asked;
    const { 'content-length': _, ...headers } = incoming.headers;
    const passedOn = request(
      new URL(incoming.url ?? '/', server.running.address),
      { method: incoming.method, headers: { ...headers, authorization: `Bearer ${testToken}` } },
      (answer) => answer.pipe(outgoing.writeHead(answer.statusCode ?? 502, answer.headers)),
    );
    passedOn.on('error', () => outgoing.destroy());
    outgoing.on('close', () => passedOn.destroy());
    passedOn.end(body);
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
});

afterAll(async () => {
  door.closeAllConnections();
  await new Promise((resolve) => door.close(resolve));
  await server.running.stop();
  rmSync(home, { recursive: true, force: true });
});

interface Message {
  readonly method?: string;
  params?: Record<string, unknown>;
}

/** The suite brings no key, and names the tools and resources of an example server; ours take their part. Answers stay as they are. */
async function inOurWords(asked: string): Promise<string> {
  let message: Message;
  try {
    message = JSON.parse(asked) as Message;
  } catch {
    return asked;
  }
  const { method, params } = message;
  const tool = method === 'tools/call' ? params?.['name'] : undefined;
  const resource = method === 'resources/read' ? params?.['uri'] : undefined;
  if (tool === 'test_simple_text') message.params = { ...params, name: 'list_tasks', arguments: {} };
  if (tool === 'test_error_handling') message.params = { ...params, name: 'show_task', arguments: { id: `tsk_${'0'.repeat(26)}` } };
  if (tool === 'test_tool_with_progress') message.params = { ...params, name: 'follow_task', arguments: { id: await file('sleep 2') } };
  if (resource === 'test://static-text' || resource === 'test://template/123/data')
    message.params = { ...params, uri: `nightshift://runs/${await runThatExited(123)}` };
  return JSON.stringify(message);
}

async function file(command: string): Promise<string> {
  const { body } = await server.api.call<{ readonly id: string }>('POST', '/api/tasks', {
    body: { title: 'For the suite', body: command },
  });
  return body.id;
}

async function runThatExited(code: number): Promise<string> {
  const id = await file(`sh -c "exit ${code}"`);
  const { runs } = await server.api.becomes(id, 'failed');
  return String(runs?.[0]?.id);
}

test('what the protocol’s own suite asks of the parts that we claim is as it should be', async () => {
  const baseline = join(home, 'not-claimed.yaml');
  writeFileSync(baseline, JSON.stringify({ server: notClaimed }));
  const suite = fileURLToPath(new URL('../../node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url));
  const url = `http://127.0.0.1:${(door.address() as AddressInfo).port}/mcp`;
  const child = spawn(process.execPath, [suite, 'server', '--url', url, '--suite', 'all', '--expected-failures', baseline, '-o', home], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [said, complained, exitCode] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise((resolve) => child.once('close', resolve)),
  ]);
  expect(exitCode, said + complained).toBe(0);
  const passed = [...said.matchAll(/✓\S* ([\w-]+): ([1-9]\d*) passed, 0 failed/g)].map(([, name]) => name);
  expect(passed.toSorted()).toEqual([
    'dns-rebinding-protection',
    'ping',
    'resources-list',
    'resources-read-text',
    'resources-templates-read',
    'server-initialize',
    'tools-call-error',
    'tools-call-simple-text',
    'tools-call-with-progress',
    'tools-list',
  ]);
});
