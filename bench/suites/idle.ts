import { readdirSync, readFileSync } from 'node:fs';
import { type ServerChild, startServerChild } from '../support/server.ts';
import { summary } from '../support/stats.ts';
import type { Suite } from './suite.ts';

export const idle: Suite = {
  names: ['idle'],
  async run(bench) {
    const { sizes, scope } = bench;
    const fresh: number[] = [];
    const again: number[] = [];
    const place = await bench.place('sqlite');
    for (let start = 0; start < sizes.starts; start++) {
      bench.progress(`start-up, ${start + 1} of ${sizes.starts}`);
      const first = await startServerChild(scope, await bench.place('sqlite'));
      fresh.push(first.healthyMs);
      await first.stop();
      const next = await startServerChild(scope, place);
      again.push(next.healthyMs);
      await next.stop();
    }
    bench.progress(`idle for ${sizes.idleSeconds} s`);
    const server = await startServerChild(scope, place);
    await new Promise((resolve) => setTimeout(resolve, sizes.idleSeconds * 1_000));
    const memory = memoryOf(server);
    await server.stop();
    return [
      {
        title: 'Start-up and idle memory on SQLite',
        rows: [
          { what: 'spawn → /health, new home', p50: summary(fresh).p50, max: summary(fresh).max, unit: 'ms' },
          { what: 'spawn → /health, known home', p50: summary(again).p50, max: summary(again).max, unit: 'ms' },
          ...memory.map(({ what, kib }) => ({
            what: `RSS after ${sizes.idleSeconds} s idle: ${what}`,
            p50: kib / 1_024,
            max: null,
            unit: 'MiB',
          })),
        ],
      },
    ];
  },
};

function memoryOf({ pid }: ServerChild): readonly { readonly what: string; readonly kib: number }[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && statusField(Number(name), 'PPid') === pid)
    .map(Number);
  return [
    { what: 'server', kib: statusField(pid, 'VmRSS') },
    ...children.map((child) => ({ what: commandOf(child), kib: statusField(child, 'VmRSS') })),
    { what: 'together', kib: [pid, ...children].reduce((sum, each) => sum + statusField(each, 'VmRSS'), 0) },
  ];
}

function statusField(pid: number, field: string): number {
  try {
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0; // it ended while we looked
  }
}

/** The reaper is `sh …/reaper.sh`, and its `cat` is its child. */
function commandOf(pid: number): string {
  const [program = '', script = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return `${program.split('/').at(-1)} ${script.split('/').at(-1)}`.trim();
}
