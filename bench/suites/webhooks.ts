import { startProbot } from '../peers/probot.ts';
import { durabilityOf, storeName } from '../support/bench.ts';
import { isolated } from '../support/isolated.ts';
import type { Row } from '../support/report.ts';
import { startServerChild, token } from '../support/server.ts';
import type { Suite } from './suite.ts';

const rates = [100, 500, 2_000];
const connections = 64;
const webhookSecret = 'a webhook secret of the bench';

export const webhooks: Suite = {
  names: ['webhooks'],
  async run(bench, _) {
    const { dialects, notes } = await bench.stores();
    const acknowledged: Row[] = [];
    const mail: Row[] = [];
    const load = async (who: string, durability: string, address: string): Promise<void> => {
      for (const perSecond of [...rates, undefined]) {
        const asked = perSecond === undefined ? `${connections} at a time` : `${perSecond.toLocaleString('en')}/s`;
        bench.progress(`deliveries to ${who}, ${asked}`);
        const seconds = bench.sizes.submitSeconds;
        const wanted = { address, token, webhookSecret, connections, seconds, warmUpSeconds: seconds / 3 };
        const result = await isolated(bench.scope, 'loadOverHttp', perSecond === undefined ? wanted : { ...wanted, perSecond });
        acknowledged.push({
          who,
          durability,
          asked,
          'acknowledged/s': result.perSecond,
          'p50 ms': result.p50,
          'p99 ms': result.p99,
          'max ms': result.max,
          failures: result.failures,
        });
      }
    };
    const peer = await startProbot(bench.scope, webhookSecret);
    await load('probot', 'NONE: nothing is stored', peer.address);
    await peer.stop();
    for (const dialect of dialects) {
      const server = await startServerChild(bench.scope, await bench.place(dialect), { GITHUB_WEBHOOK_SECRET: webhookSecret });
      await load(`Nightshift, ${storeName[dialect]}`, durabilityOf[dialect], server.address);
      await server.stop();
      bench.progress(`what arrives and what leaves on ${storeName[dialect]}`);
      const figures = await isolated(bench.scope, 'measureMail', { place: await bench.place(dialect), ...bench.sizes.mail });
      mail.push({
        store: storeName[dialect],
        'stored → claim p50 ms': figures.claimP50,
        'p99 ms': figures.claimP99,
        'messages/s': figures.messagesPerSecond,
        'TODO scan ms': figures.scanMs,
        're-scan ms': figures.rescanMs,
        'one new line ms': figures.editMs,
      });
    }
    const { messages, todoItems } = bench.sizes.mail;
    const many = (n: number): string => n.toLocaleString('en');
    return [
      {
        title: 'Acknowledgements of signed deliveries of 10 KB; Nightshift has them on disk and reads and settles them meanwhile',
        rows: acknowledged,
        notes,
      },
      {
        title: `From the inbox to a claim; ${many(messages)} waiting messages; a TODO file with ${many(todoItems)} items`,
        rows: mail,
        notes,
      },
    ];
  },
};
