import { loadConfig } from '../config/config.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type JsonFlag, jsonFlag, type Session } from './session.ts';
import { localTime } from './wording.ts';

interface Flags extends JsonFlag {
  readonly home?: string;
}

export const define: Define = (command, session) => {
  const described = jsonFlag(command)
    .argument('<file>', 'the backup')
    .option('--home <directory>', 'where it goes: a directory that is not there yet, or empty (NIGHTSHIFT_HOME)');
  examples(described, 'nightshift restore nightshift-20261121T180000Z.tar.gz --home ~/.nightshift')
    .addHelpText(
      'after',
      `
It goes in whole or not at all, and the queue is paused then: what was done after the backup is not known to it, so look
before \`nightshift resume\`. A backup of PostgreSQL goes into an empty database that DATABASE_URL names. Sealed secrets are
opened with NIGHTSHIFT_BACKUP_PASSPHRASE.`,
    )
    .action((file: string, flags: Flags) => bringBack(session, file, flags));
};

async function bringBack({ screen, terminal }: Session, file: string, flags: Flags): Promise<void> {
  const { restoreBackup } = await import('../main.ts');
  const { config } = loadConfig({ env: terminal.env, flags: { home: flags.home }, cwd: terminal.cwd });
  const interrupted = new AbortController();
  const stop = (): void => interrupted.abort(new Error('interrupted'));
  process.once('SIGINT', stop);
  try {
    const manifest = await restoreBackup(config, file, interrupted.signal);
    if (flags.json) return screen.json({ home: config.home, ...manifest });
    screen.line(`${oneLine(config.home)} is as it was on ${localTime(new Date(manifest.madeAt).toISOString())}.`);
    screen.remark(
      `Next: \`nightshift up\`${flags.home === undefined ? '' : ` --home ${oneLine(flags.home)}`}, look at \`nightshift tasks\`, then \`nightshift resume\`: the queue is paused.` +
        (manifest.sealed && config.backupPassphrase !== undefined ? '' : ' Keys are not in it: set them again; the API key is made anew.'),
    );
  } finally {
    process.off('SIGINT', stop);
  }
}
