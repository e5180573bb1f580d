import { once } from 'node:events';
import { Agent, createServer, type RequestListener, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createBudgets } from '../../src/gateway/budgets.ts';
import { createCredentials } from '../../src/gateway/credentials.ts';
import { createKeys } from '../../src/gateway/keys.ts';
import { createGateway } from '../../src/gateway/messages.ts';
import { createPrices } from '../../src/gateway/prices.ts';
import { anthropicProvider } from '../../src/gateway/providers/anthropic.ts';
import { createRoutedModels } from '../../src/gateway/routed-models.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { silentLog as log } from '../../src/platform/log.ts';
import { openStore } from '../../src/store/open.ts';
import { textEvents } from '../../test/support/model-upstream.ts';
import { generous } from '../measure/reservations.ts';
import { model } from '../support/model.ts';
import type { WayPart } from './way.ts';

interface Standing {
  readonly listener: RequestListener;
  readonly key: string;
}

process.once('message', (message) => {
  void stand(message as WayPart).then(async ({ listener, key }) => {
    // The ways take turns, and connections are to outlive those of the others.
    const server = createServer({ keepAliveTimeout: 75_000 }, listener);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    process.on('message', () => {
      globalThis.gc?.();
      process.send?.('collected');
    });
    process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, key });
  });
});
process.once('disconnect', () => process.exit());

async function stand(part: WayPart): Promise<Standing> {
  switch (part.kind) {
    case 'model':
      return { listener: asModel(), key: 'any' };
    case 'pipe':
      return { listener: asPipe(part.to), key: 'any' };
    case 'gateway':
      return asGateway(part);
  }
}

const pieces = 20;

/** Answers at once, in pieces; one that is asked to hold still says its first piece only. */
function asModel(): RequestListener {
  const [start = '', begin = '', delta = '', ...rest] = textEvents('A few words, as they come.', model);
  return (incoming, outgoing) => {
    let hold = false;
    incoming.on('data', (chunk: Buffer) => {
      hold ||= chunk.includes('hold still');
    });
    incoming.on('end', () => {
      outgoing.writeHead(200, { 'content-type': 'text/event-stream' });
      outgoing.write(start + begin);
      if (hold) return;
      let left = pieces;
      const next = (): void => {
        if (left-- === 0) return void outgoing.end(rest.join(''));
        outgoing.write(delta);
        setImmediate(next);
      };
      setImmediate(next);
    });
  };
}

function asPipe(to: string): RequestListener {
  const agent = new Agent({ keepAlive: true });
  return (incoming, outgoing) => {
    const onward = request(`${to}${incoming.url}`, { agent, method: 'POST', headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    outgoing.once('close', () => onward.destroy());
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  };
}

async function asGateway({ to, place }: Extract<WayPart, { kind: 'gateway' }>): Promise<Standing> {
  const store = await openStore(place);
  const credentials = createCredentials(clock);
  const connect = (apiKey: string) => anthropicProvider({ baseUrl: to, apiKey }, clock);
  const keys = createKeys({ provider: 'claude', secrets: () => secrets, connect, clock, chance: Math.random });
  const models = createRoutedModels({
    chain: [{ name: 'claude', keys, nameOf: (name) => name, listsModels: false }],
    fallbackModel: undefined,
    models: [],
    patienceMs: 60_000,
    clock,
    chance: Math.random,
    onWaiting: () => undefined,
  });
  const budgets = createBudgets({
    store,
    clock,
    newId: createIds(clock),
    log,
    nodeId: 'nod_bench',
    prices: createPrices(),
    defaults: generous,
    standIns: () => [],
    emergency: async () => undefined,
    onBooked: () => undefined,
  });
  const gateway = createGateway({ models, credentials, clock, log, budgets, onUsage: () => undefined });
  return {
    listener: (incoming, outgoing) => void gateway.handle(incoming, outgoing),
    key: credentials.issue({ runId: 'run_bench', taskId: 'tsk_bench', conversationId: null, kind: 'task' }),
  };
}

const secrets = ['sk-bench'] as const;
