import { createHmac, randomUUID } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { summary } from '../support/stats.ts';

export interface HttpLoad {
  readonly address: string;
  readonly token: string;
  readonly connections: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Deliveries of GitHub that are signed with this, in place of tasks. */
  readonly webhookSecret?: string;
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

/** So long after the last was due, what has not been answered has failed. */
const patienceMs = 2_000;

/** Submits tasks or deliveries over HTTP with keep-alive, and counts only answers that say that they are stored. */
export async function loadOverHttp(load: HttpLoad): Promise<HttpLoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.connections, scheduling: 'fifo' });
  const post = postTo(load, agent);
  const stored = load.webhookSecret === undefined ? 201 : 200;
  const samples: number[] = [];
  let failures = 0;
  let count = 0;
  const measureFrom = performance.now() + load.warmUpSeconds * 1_000;
  const end = measureFrom + load.seconds * 1_000;

  /** `since` is when the request was due: waiting for a free connection is part of what a client sees. */
  const submit = async (since: number): Promise<void> => {
    const status = await post(++count).catch(() => 0);
    const now = performance.now();
    // Asked for at fixed times, a late answer is late, and not one that does not count.
    if (since < measureFrom || (load.perSecond === undefined && now > end)) return;
    if (status === stored) samples.push(now - since);
    else failures += 1;
  };

  if (load.perSecond === undefined) {
    const lane = async (): Promise<void> => {
      while (performance.now() < end) await submit(performance.now());
    };
    await Promise.all(Array.from({ length: load.connections }, lane));
  } else {
    const giveUp = setTimeout(() => agent.destroy(), end + patienceMs - performance.now());
    await openLoop(load.perSecond, end, submit);
    clearTimeout(giveUp);
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

function postTo(load: HttpLoad, agent: Agent): (n: number) => Promise<number> {
  const { hostname, port } = new URL(load.address);
  return (n) => {
    const { path, headers: own, body } = load.webhookSecret === undefined ? taskOf(n, load.token) : deliveryOf(n, load.webhookSecret);
    const headers = { ...own, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      const outgoing = request({ method: 'POST', hostname, port, path, agent, headers }, (answer: IncomingMessage) => {
        answer.resume();
        answer.once('end', () => resolve(answer.statusCode ?? 0));
      });
      outgoing.once('error', reject);
      outgoing.end(body);
    });
  };
}

interface Posted {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function taskOf(n: number, token: string): Posted {
  const body = JSON.stringify({
    title: `Mend the flaky test number ${n}`,
    body: '["true"]',
    engine: 'command',
    repository: 'https://example.org/team/project.git',
  });
  return { path: '/api/tasks', headers: { authorization: `Bearer ${token}` }, body };
}

/** A comment that asks for nothing, as most do: 10 KB, as GitHub's deliveries have. No two are alike: what is replayed is not stored. */
function deliveryOf(n: number, secret: string): Posted {
  const user = { login: 'ann', type: 'User' };
  const body = JSON.stringify({
    action: 'created',
    comment: { id: n, node_id: randomUUID(), body: 'x'.repeat(9_000), user, author_association: 'MEMBER' },
    issue: { number: 1, title: 'The gate squeaks', labels: [] },
    repository: { full_name: 'octo/garden', clone_url: 'https://example.org/octo/garden.git', default_branch: 'main' },
    sender: user,
  });
  return {
    path: '/webhook/github',
    headers: {
      'x-github-event': 'issue_comment',
      'x-github-delivery': randomUUID(),
      'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
    },
    body,
  };
}
