import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/platform/clock.ts';
import type { Command } from '../../src/platform/subprocess.ts';
import { spawnPlainly } from '../../src/runner/engines/claude/process.ts';
import { defaultLimits, type Profile } from '../../src/sandbox/profile.ts';
import { createSandbox } from '../../src/sandbox/sandbox.ts';
import { type Row, rowOf } from '../support/report.ts';
import { summary, timed } from '../support/stats.ts';
import type { Suite } from './suite.ts';

export const sandboxStart: Suite = {
  names: ['sandbox-start'],
  async run({ sizes, scope, progress }) {
    const title = 'Starting `true`: in the sandbox and bare';
    const directory = mkdtempSync(join(tmpdir(), 'nightshift-bench-sandbox-'));
    scope.onEnd(() => rmSync(directory, { recursive: true, force: true }));
    const workspace = join(directory, 'workspace');
    mkdirSync(workspace);
    const sandbox = await createSandbox({ mode: 'auto', directory: join(directory, 'sandbox'), protect: [], clock: systemClock });
    const { active, summary: standing } = sandbox.describe();
    if (!active) return [{ title, rows: [], notes: [standing] }];
    const command: Command = { argv: ['true'], cwd: workspace, env: { PATH: process.env['PATH'] ?? '' } };
    const inSandbox = async (): Promise<{ readonly whole: number; readonly command: number }> => {
      let inside = 0;
      const whole = await timed(async () => {
        const enclosure = await sandbox.open(profileOf(workspace), 'owner');
        if (!enclosure.ok) throw new Error(enclosure.refusal.message);
        inside = await timed(() => ended(enclosure.spawn(command)));
        await enclosure.close();
      });
      return { whole, command: inside };
    };
    const bare: number[] = [];
    const inside: number[] = [];
    const whole: number[] = [];
    for (let sample = 0; sample < sizes.sandboxStarts; sample++) {
      progress(`sandbox start, ${sample + 1} of ${sizes.sandboxStarts}`);
      bare.push(await timed(() => ended(spawnPlainly(command))));
      const took = await inSandbox();
      inside.push(took.command);
      whole.push(took.whole);
    }
    const rows: readonly Row[] = [
      rowOf('bare', bare),
      rowOf('in the sandbox', inside),
      rowOf('in the sandbox, with opening and closing it', whole),
      { what: 'what the sandbox adds to a command', samples: null, p50: summary(inside).p50 - summary(bare).p50, p95: null, unit: 'ms' },
    ];
    return [{ title, rows, notes: ['One of each in turn, from `spawn` to the exit.'] }];
  },
};

const profileOf = (workspace: string): Profile => ({
  workspace,
  home: { kind: 'memory', bytes: 2 ** 28 },
  tmp: { kind: 'memory', bytes: 2 ** 29 },
  limits: defaultLimits,
});

function ended(child: ReturnType<typeof spawnPlainly>): Promise<void> {
  child.stdout.resume();
  child.stderr.resume();
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`true ended with ${code}`))));
  });
}
