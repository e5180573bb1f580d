import { Agent, type ClientRequest, request } from 'node:http';
import { model } from '../support/model.ts';
import { concurrently, type Summary, summary } from '../support/stats.ts';

export interface Target {
  readonly name: string;
  readonly url: string;
  readonly key: string;
}

export interface StreamFigures {
  readonly name: string;
  readonly firstByte: Summary;
  readonly perSecond: number;
}

/** So many streams at once through each target, taking turns, every other round in reverse order. Figures of a target are of all its rounds. */
export async function measureStreams(input: {
  readonly targets: readonly Target[];
  readonly streams: number;
  readonly width: number;
  readonly rounds: number;
}): Promise<readonly StreamFigures[]> {
  const { targets, streams, width, rounds } = input;
  const seen = targets.map((target) => ({ target, samples: [] as number[], seconds: 0, agent: new Agent({ keepAlive: true }) }));
  const body = bodyOf('go on', 20_000);
  for (let round = 0; round <= rounds; round++) {
    for (const each of round % 2 === 0 ? seen : seen.toReversed()) {
      const samples: number[] = [];
      const start = performance.now();
      await concurrently(streams, width, async () => samples.push(await wholeStream(each.target, body, each.agent)));
      if (round === 0) continue; // connections are made, code is compiled
      each.seconds += (performance.now() - start) / 1_000;
      each.samples.push(...samples);
    }
  }
  for (const { agent } of seen) agent.destroy();
  return seen.map(({ target: { name }, samples, seconds }) => ({ name, firstByte: summary(samples), perSecond: samples.length / seconds }));
}

/** Streams that have begun and do not end, until they are let go. */
export async function openStreams(target: Target, count: number, bodyBytes: number): Promise<{ letGo(): void }> {
  const agent = new Agent();
  const body = bodyOf('hold still', bodyBytes);
  const open: ClientRequest[] = [];
  await concurrently(count, 20, async () => open.push(await begun(target, body, agent)));
  return { letGo: () => open.forEach((each) => void each.destroy()) };
}

const bodyOf = (word: string, bytes: number): string =>
  JSON.stringify({ model, max_tokens: 1_000, stream: true, messages: [{ role: 'user', content: `${word} ${'x'.repeat(bytes)}` }] });

const optionsOf = ({ key }: Target, body: string, agent: Agent) => ({
  agent,
  method: 'POST',
  headers: { 'x-api-key': key, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
});

/** From the request to its first byte, in milliseconds; resolves at the end of the answer. */
function wholeStream(target: Target, body: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    let first: number | undefined;
    const asked = request(`${target.url}/v1/messages`, optionsOf(target, body, agent), (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${target.name} answered with status ${answer.statusCode}`));
      answer.on('data', () => {
        first ??= performance.now() - start;
      });
      answer.once('error', reject);
      answer.once('end', () => resolve(first ?? Number.NaN));
    });
    asked.once('error', reject);
    asked.end(body);
  });
}

function begun(target: Target, body: string, agent: Agent): Promise<ClientRequest> {
  return new Promise((resolve, reject) => {
    const asked = request(`${target.url}/v1/messages`, optionsOf(target, body, agent), (answer) => {
      answer.on('error', () => undefined); // it is let go in the middle
      answer.once('data', () => resolve(asked));
    });
    asked.once('error', reject);
    asked.end(body);
  });
}
