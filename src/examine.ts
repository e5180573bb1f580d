import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { reachAll as reachChannels } from './channels/alert-channel.ts';
import { alertChannels } from './channels/alert-channels.ts';
import type { Config } from './config/settings.ts';
import type { Finding } from './domain/examination.ts';
import { reachAll as reachProviders } from './gateway/reach.ts';
import type { Upstream } from './gateway/routed-models.ts';
import { outwardChecks } from './health/checks.ts';
import { examineOnce } from './health/health.ts';
import type { Clock } from './platform/clock.ts';

/** What a server would find of what is around it, by the same checks, where none is up to say so. */
export function examineOutwards(config: Config, providers: readonly Upstream[], path: string, clock: Clock): Promise<readonly Finding[]> {
  const channels = alertChannels(config, { clock, node: 'doctor' });
  const checks = outwardChecks({
    ...{ clock, path },
    home: thereOf(config.home),
    dialect: config.databaseUrl === undefined ? 'sqlite' : 'postgres',
    backupsWanted: config.backupHours > 0,
    reachProviders: (signal) => reachProviders(providers, signal),
    reachChannels: (signal) => reachChannels(channels, signal),
    // What waits is known to the database, which is a server's to open.
    mail: async () => [],
  });
  return examineOnce(checks, clock);
}

/** The home, or what is there of the way to it: the first start makes the rest. */
const thereOf = (path: string): string => (existsSync(path) || dirname(path) === path ? path : thereOf(dirname(path)));
