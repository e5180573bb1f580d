import { spawnSync } from 'node:child_process';

/** Debian's package `prometheus` brings promtool, `prometheus-alertmanager` brings amtool. */
const isThere = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;

export const missingPromtool = !isThere('promtool');
export const missingAmtool = !isThere('amtool');

/** What it says, and whether it is content. */
export function ask(program: 'promtool' | 'amtool', args: readonly string[], input = ''): { readonly ok: boolean; readonly says: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { input, encoding: 'utf8' });
  return { ok: status === 0, says: `${stdout}${stderr}`.trim() };
}

/** One figure of a scrape, or undefined when it has none such. Labels are written as in the text. */
export function figure(scrape: string, name: string, labels = ''): number | undefined {
  const line = scrape.split('\n').find((each) => each.startsWith(`${name}${labels === '' ? '' : `{${labels}}`} `));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1));
}
