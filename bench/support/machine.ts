import { execFileSync } from 'node:child_process';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { debianPostgres } from '../../test/support/postgres-server.ts';
import { redisProgram } from './redis.ts';
import type { Section } from './report.ts';
import { type Summary, summary } from './stats.ts';

const tmpfs = 0x01021994;

/** What the figures were measured on; without it they mean nothing. */
export function describeMachine(): Section {
  const sync = measureSync(300);
  const postgres = debianPostgres();
  const inMemory = statfsSync(tmpdir()).type === tmpfs;
  return {
    title: 'Machine',
    rows: [
      { what: 'cores', value: `${availableParallelism()} (${cpus()[0]?.model.trim() ?? 'unknown'})` },
      { what: 'memory', value: `${(totalmem() / 2 ** 30).toFixed(1)} GiB` },
      { what: 'load before', value: loadavg()[0]?.toFixed(2) ?? '' },
      { what: 'fdatasync after 4 KiB, file grows', value: inWords(sync.growing) },
      { what: 'fdatasync after 4 KiB, in place', value: inWords(sync.inPlace) },
      { what: 'system', value: `Linux ${release()}` },
      { what: 'Node.js', value: process.version },
      { what: 'PostgreSQL', value: postgres === undefined ? 'absent' : versionOf(join(postgres, 'postgres')) },
      { what: 'Redis', value: redisProgram() === undefined ? 'absent' : versionOf(redisProgram() as string) },
    ],
    notes: inMemory
      ? [`WARNING: ${tmpdir()} is in memory, where a sync costs nothing: no figure below is that of a durable store. Set TMPDIR to a disk.`]
      : [],
  };
}

function measureSync(times: number): { readonly growing: Summary; readonly inPlace: Summary } {
  const directory = mkdtempSync(join(tmpdir(), 'nightshift-bench-sync-'));
  const file = openSync(join(directory, 'file'), 'w');
  try {
    const block = Buffer.alloc(4096, 1);
    const pass = (): Summary =>
      summary(
        Array.from({ length: times }, (_, i) => {
          const start = performance.now();
          writeSync(file, block, 0, block.length, i * block.length);
          fdatasyncSync(file);
          return performance.now() - start;
        }),
      );
    return { growing: pass(), inPlace: pass() };
  } finally {
    closeSync(file);
    rmSync(directory, { recursive: true });
  }
}

const inWords = ({ p50, p95, max }: Summary): string => `p50 ${p50.toFixed(3)} ms, p95 ${p95.toFixed(3)} ms, max ${max.toFixed(3)} ms`;

const versionOf = (program: string): string => execFileSync(program, ['--version']).toString().trim().split(' sha=')[0] ?? '';
