import { Agent, type IncomingMessage, request } from 'node:http';
import { summary } from '../support/stats.ts';

export interface HttpLoad {
  readonly address: string;
  readonly token: string;
  readonly connections: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Requests begun per second however long the answers take; without it, each connection asks again at its answer. */
  readonly perSecond?: number;
}

export interface HttpLoadResult {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly failures: number;
}

/** Submits tasks over HTTP with keep-alive and counts only answers of 201. */
export async function loadOverHttp(load: HttpLoad): Promise<HttpLoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.connections, scheduling: 'fifo' });
  const post = postTo(load, agent);
  const samples: number[] = [];
  let failures = 0;
  let count = 0;
  const measureFrom = performance.now() + load.warmUpSeconds * 1_000;
  const end = measureFrom + load.seconds * 1_000;

  /** `since` is when the request was due: waiting for a free connection is part of what a client sees. */
  const submit = async (since: number): Promise<void> => {
    const status = await post(++count);
    const now = performance.now();
    if (since < measureFrom || now > end) return;
    if (status === 201) samples.push(now - since);
    else failures += 1;
  };

  if (load.perSecond === undefined) {
    const lane = async (): Promise<void> => {
      while (performance.now() < end) await submit(performance.now());
    };
    await Promise.all(Array.from({ length: load.connections }, lane));
  } else {
    await openLoop(load.perSecond, end, submit);
  }
  agent.destroy();
  const { p50, p99, max } = summary(samples);
  return { perSecond: samples.length / load.seconds, p50, p99, max, failures };
}

async function openLoop(perSecond: number, end: number, submit: (since: number) => Promise<void>): Promise<void> {
  const under: Promise<void>[] = [];
  const start = performance.now();
  for (let i = 0; ; i++) {
    const due = start + (i * 1_000) / perSecond;
    if (due > end) break;
    const early = due - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    under.push(submit(due));
  }
  await Promise.all(under);
}

function postTo({ address, token }: HttpLoad, agent: Agent): (n: number) => Promise<number> {
  const { hostname, port } = new URL(address);
  return (n) => {
    const body = JSON.stringify({
      title: `Mend the flaky test number ${n}`,
      body: '["true"]',
      engine: 'command',
      repository: 'https://example.org/team/project.git',
    });
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      const outgoing = request({ method: 'POST', hostname, port, path: '/api/tasks', agent, headers }, (answer: IncomingMessage) => {
        answer.resume();
        answer.once('end', () => resolve(answer.statusCode ?? 0));
      });
      outgoing.once('error', reject);
      outgoing.end(body);
    });
  };
}
