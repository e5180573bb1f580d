import { cp } from 'node:fs/promises';
import type { Clock } from '../platform/clock.ts';
import { start } from '../platform/subprocess.ts';

type Made =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: 'git-missing' | 'git-failed' | 'called-off'; readonly message: string };

interface Around {
  readonly clock: Clock;
  /** Where git is found. */
  readonly path: string;
  /** An empty directory for git to take for a home: no setting or hook of the person who tries this has a say. */
  readonly home: string;
}

/** Copies the sample into a directory that is not there yet, and has nobody in particular commit it. */
export async function makeSampleRepository(
  sample: string,
  directory: string,
  { clock, path, home }: Around,
  signal: AbortSignal,
): Promise<Made> {
  await cp(sample, directory, { recursive: true });
  const env: Record<string, string> = {
    PATH: path,
    HOME: home,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    LC_ALL: 'C',
  };
  for (const who of ['AUTHOR', 'COMMITTER']) {
    env[`GIT_${who}_NAME`] = 'Demo';
    env[`GIT_${who}_EMAIL`] = 'demo@localhost';
  }
  for (const args of [
    ['init', '--quiet', '--template=', '--initial-branch=main'],
    ['add', '--all', '--force', '.'],
    ['commit', '--quiet', '--message=A rota with a failing test'],
  ]) {
    const git = start({ argv: ['git', ...args], cwd: directory, env }, clock, signal);
    let said = '';
    for await (const chunk of git.stderr) said += chunk.toString();
    const ended = await git.exit;
    if (signal.aborted) return { ok: false, code: 'called-off', message: 'It was called off.' };
    if (ended.kind === 'not-started') {
      const message = `git could not be started (${ended.message}). Install it (Debian: apt install git).`;
      return { ok: false, code: 'git-missing', message };
    }
    if (ended.kind === 'killed' || ended.code !== 0) {
      return { ok: false, code: 'git-failed', message: `git ${args[0]} failed in the sample repository: ${said.trim()}` };
    }
  }
  return { ok: true };
}
