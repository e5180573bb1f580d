import { join } from 'node:path';
import type { SettingKey } from '../config.ts';
import { loadConfig } from '../config.ts';
import { startServer } from '../main.ts';
import { createLog, lineTarget, prettyTarget, rotatingFile } from '../platform/log.ts';

/** Runs the server until a signal ends it. The first one drains, the second one hurries. */
export async function up(flags: Partial<Record<SettingKey, string>>): Promise<void> {
  const { config } = loadConfig({ env: process.env, flags, cwd: process.cwd() });
  const terminal = process.stdout.isTTY ? prettyTarget(process.stdout) : lineTarget(process.stdout);
  const log = createLog(config.logLevel, [terminal, rotatingFile(join(config.home, 'logs', 'nightshift.log'), Date.now)]);
  const server = await startServer(config, log);

  const key = config.token === undefined ? `$(cat ${join(config.home, 'token')})` : '$NIGHTSHIFT_TOKEN';
  process.stdout.write(
    `\n  Nightshift is up at ${server.address}\n  Log in:   curl -H "Authorization: Bearer ${key}" ${server.address}/api/tasks\n  API:      ${server.address}/api/docs (any name, the key as password)\n\n`,
  );

  const hurry = new AbortController();
  let stopping: Promise<void> | undefined;
  const onSignal = (): void => {
    if (stopping) {
      hurry.abort();
      return;
    }
    stopping = server.stop(hurry.signal).then(
      () => process.exit(0),
      (error: unknown) => {
        log.fatal({ err: error }, 'could not stop cleanly');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
