import { expect } from 'vitest';
import type { z } from 'zod';
import { loadConfig } from '../../src/config/config.ts';
import type { Config } from '../../src/config/settings.ts';
import type { Reason } from '../../src/domain/outcome.ts';
import { type RunningServer, startServer } from '../../src/main.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import type { Network } from '../../src/sandbox/egress.ts';
import type { eventSchema, runSchema, taskSchema } from '../../src/server/views.ts';
import { answerFaults, type OpenApi, routeFor } from './openapi.ts';
import { until } from './server-process.ts';
import type { TestDatabase } from './stores.ts';

export type ApiTask = z.infer<typeof taskSchema>;
export type ApiRun = z.infer<typeof runSchema>;
export type ApiEvent = z.infer<typeof eventSchema>;

export interface Answer<T = unknown> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

export interface ProblemBody {
  readonly code: string;
  readonly detail: string;
  readonly requestId: string;
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface CallOptions {
  /** Sent as JSON, unless it is text or bytes already. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** null sends none. */
  readonly key?: string | null;
}

/** A client that holds each answer against the served OpenAPI document. */
export class Api {
  readonly address: string;
  readonly token: string;
  private known: Promise<OpenApi> | undefined;

  constructor(address: string, token: string) {
    this.address = address;
    this.token = token;
  }

  document(): Promise<OpenApi> {
    this.known ??= fetch(`${this.address}/api/openapi.json`, { headers: { authorization: `Bearer ${this.token}` } }).then(
      (answer) => answer.json() as Promise<OpenApi>,
    );
    return this.known;
  }

  async call<T = unknown>(method: string, path: string, { body, headers = {}, key = this.token }: CallOptions = {}): Promise<Answer<T>> {
    const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
    const response = await fetch(this.address + path, {
      method,
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
    });
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    const answer = { status: response.status, headers: response.headers, body: (type.includes('json') ? JSON.parse(text) : text) as T };
    const document = await this.document();
    const route = routeFor(document, method, path);
    if (route) expect(answerFaults(document, route, answer.status, type, answer.body)).toEqual([]);
    return answer;
  }

  /** An answer that must be a problem document in every respect. */
  async refusal(method: string, path: string, options: CallOptions = {}): Promise<ProblemBody & { readonly status: number }> {
    const { status, headers, body } = await this.call<ProblemBody & { status: number; type: string; title: string }>(method, path, options);
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(body).toMatchObject({
      status,
      type: `urn:nightshift:problem:${body.code}`,
      title: expect.stringMatching(/./),
      detail: expect.stringMatching(/./),
      requestId: headers.get('x-request-id'),
    });
    expect(body.requestId).toMatch(/^req_/);
    return body;
  }

  async submit(task: Readonly<Record<string, unknown>>): Promise<ApiTask> {
    const { status, body } = await this.call<ApiTask & Partial<ProblemBody>>('POST', '/api/tasks', { body: { body: 'true', ...task } });
    if (status !== 201) throw new Error(`not accepted (${status}): ${body.detail ?? body.id}`);
    return body;
  }

  async task(id: string): Promise<ApiTask> {
    return (await this.call<ApiTask>('GET', `/api/tasks/${id}`)).body;
  }

  async run(id: string): Promise<ApiRun> {
    return (await this.call<ApiRun>('GET', `/api/runs/${id}`)).body;
  }

  /** The task once it has come to a status. */
  becomes(id: string, ...statuses: readonly ApiTask['status'][]): Promise<ApiTask> {
    let last: { status: string; reason: Reason | null } | undefined;
    return until(`${id} to become ${statuses.join(' or ')}`, async () => {
      const task = await this.task(id);
      last = task;
      return statuses.includes(task.status) && task;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; it is ${JSON.stringify(last?.status)} ${JSON.stringify(last?.reason)}`);
    });
  }
}

export interface TestServer {
  readonly api: Api;
  readonly config: Config;
  readonly running: RunningServer;
  /** What it has logged so far, line by line. */
  readonly logged: readonly string[];
}

export const testToken = 'an-owner-key-for-tests-0123456789';

/** The real server in this process, on a free port. */
export async function startTestServer(
  { home, databaseUrl }: Pick<TestDatabase, 'home' | 'databaseUrl'>,
  flags: Parameters<typeof loadConfig>[0]['flags'] = {},
  clock: Clock = systemClock,
  network: Network = {},
): Promise<TestServer> {
  const { config } = loadConfig({
    env: {},
    flags: { home, databaseUrl, token: testToken, port: '0', engine: 'command', logLevel: 'debug', drainSeconds: '0', ...flags },
    cwd: home,
  });
  const logged: string[] = [];
  const running = await startServer(config, createLog(config.logLevel, [{ write: (line) => void logged.push(line) }]), clock, network);
  return { api: new Api(running.address, testToken), config, running, logged };
}
