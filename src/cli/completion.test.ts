import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';

let desk: Desk;
beforeAll(() => {
  desk = new Desk();
});
afterAll(() => desk.remove());

/** What bash offers after this line. */
async function offered(...words: readonly string[]): Promise<readonly string[]> {
  const script = join(desk.home, 'completion.bash');
  writeFileSync(script, (await desk.call(['completion', 'bash'])).out);
  const line = `source ${script}; COMP_WORDS=(nightshift ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _nightshift; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', line], { encoding: 'utf8' }).trim().split('\n');
}

describe('completion', () => {
  test.each(['bash', 'zsh', 'fish'])('for %s knows every command and option', async (shell) => {
    const help = (await desk.call(['--help'])).out;
    const commands = [...help.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name as string);
    expect(commands.length).toBeGreaterThan(12);
    const { code, out } = await desk.call(['completion', shell]);
    expect(code).toBe(0);
    for (const command of commands) {
      expect(out).toContain(command);
      const options = [...(await desk.call([command, '--help'])).out.matchAll(/--([a-z][a-z-]+)/g)].map(([, name]) => name as string);
      for (const option of options.filter((name) => !['help', 'experimental'].includes(name))) expect(out).toContain(option);
    }
  });

  test('offers in bash what fits where the cursor stands', async () => {
    expect(await offered('')).toEqual(expect.arrayContaining(['up', 'tasks', 'completion', 'help']));
    expect(await offered('re')).toEqual(['restore', 'retry', 'resolve', 'rewind', 'resume']);
    expect(await offered('tasks', '--st')).toEqual(['--status']);
    expect(await offered('tasks', '--priority', '')).toEqual(['high', 'medium', 'low']);
    expect(await offered('token', '')).toEqual(['create', 'list', 'rotate', 'revoke', 'link']);
    expect(await offered('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });

  test('refuses a shell that it does not know', async () => {
    expect(await desk.call(['completion', 'tcsh'])).toMatchObject({ code: 2, err: expect.stringContaining('bash, zsh, fish') });
  });
});
