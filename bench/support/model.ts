import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createCredentials } from '../../src/gateway/credentials.ts';
import { createGateway } from '../../src/gateway/messages.ts';
import { rehearsalProvider } from '../../src/gateway/providers/rehearsal.ts';
import { parseScript } from '../../src/gateway/rehearsal/script.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLog } from '../../src/platform/log.ts';
import { onlyProvider } from '../../test/support/only-provider.ts';
import type { Scope } from './scope.ts';

/** A model on loopback that Nightshift and the bare SDK are both pointed at, so that neither has a shorter way to it. */
export interface ModelEndpoint {
  readonly url: string;
  readonly key: string;
  /** When the next call arrives, by the clock of `performance.now()` in this process. To be asked before it is provoked. */
  nextCall(): Promise<number>;
  /** How many calls there were so far. */
  calls(): number;
}

const arrivesWithinMs = 60_000;

/** Answers by a rehearsal script, as docs/rehearsal.md describes it. */
export async function startModel(scope: Scope, script: object): Promise<ModelEndpoint> {
  const credentials = createCredentials(systemClock);
  const gateway = createGateway({
    models: onlyProvider(rehearsalProvider([parseScript(JSON.stringify(script), 'bench')], systemClock)),
    credentials,
    clock: systemClock,
    log: silentLog,
    onUsage: () => undefined,
  });
  const waiting: ((at: number) => void)[] = [];
  let calls = 0;
  const server = createServer((incoming, outgoing) => {
    const now = performance.now();
    if (incoming.url?.startsWith('/v1/messages')) {
      calls += 1;
      for (const tell of waiting.splice(0)) tell(now);
    }
    void gateway.handle(incoming, outgoing);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.onEnd(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    key: credentials.issue({ runId: 'bench', taskId: null, conversationId: null, kind: 'task' }),
    calls: () => calls,
    nextCall: () =>
      new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error('no model was asked within a minute')), arrivesWithinMs);
        waiting.push((at) => {
          clearTimeout(late);
          resolve(at);
        });
      }),
  };
}

/** What makes a server use it. */
export const settingsFor = ({ url, key }: ModelEndpoint): Readonly<Record<string, string>> => ({
  LLM_PROVIDER: 'claude',
  LLM_BASE_URL: url,
  LLM_API_KEY: key,
  LLM_MODEL: model,
});

export const model = 'claude-sonnet-4-5';
