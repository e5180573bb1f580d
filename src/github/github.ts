import { existsSync, readFileSync } from 'node:fs';
import { Unusable } from '../domain/errors.ts';
import type { Inbox } from '../inbox/inbox.ts';
import type { Door, Source } from '../inbox/source.ts';
import type { Reporter } from '../outbox/announce.ts';
import type { Channel } from '../outbox/channel.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { regularly } from '../platform/regularly.ts';
import type { Store } from '../store/store.ts';
import { createApi } from './api.ts';
import { catchUp } from './catch-up.ts';
import { githubChannel } from './channel.ts';
import { githubDoor } from './door.ts';
import { githubReporter } from './report.ts';
import type { GitHubIdentity, GitHubPolicy } from './settings.ts';
import { githubSourceOf } from './source.ts';

/** The settings that have to do with GitHub, under the names that they have there. */
export interface GitHubSettings {
  readonly githubWebhookSecret: string | undefined;
  readonly githubToken: string | undefined;
  readonly githubAppId: string | undefined;
  readonly githubPrivateKey: string | undefined;
  readonly githubApiUrl: string;
  readonly githubBotName: string;
  readonly github: Partial<Omit<GitHubPolicy, 'botName' | 'engine'>> | undefined;
}

/** Everything about GitHub, switched on or not. */
export interface GitHub {
  /** A token for git, and where it may be shown. */
  gitToken(repository: string): Promise<{ readonly origin: string; readonly token: string } | undefined>;
  /** Absent while no webhook secret is set. */
  readonly on?: {
    readonly door: Door;
    readonly source: Source;
    readonly channel: Channel;
    readonly reporter: Reporter;
    /** Looks for what was missed, now and every hour. */
    start(into: { readonly inbox: Pick<Inbox, 'receive'> }): { stop(): Promise<void> };
  };
}

const catchUpEveryMs = 3_600_000;

export function createGitHub(
  settings: GitHubSettings,
  parts: { readonly store: Store; readonly clock: Clock; readonly log: Log; readonly engine: string; readonly version: string },
): GitHub {
  const { clock, log, store } = parts;
  const identity = identityOf(settings);
  const api = createApi({ apiUrl: settings.githubApiUrl, identity, clock, userAgent: `nightshift/${parts.version}` });
  const origin = gitOrigin(settings.githubApiUrl);
  const gitToken: GitHub['gitToken'] = async (repository) => {
    const name = nameIn(repository, origin);
    const token = name === undefined ? undefined : await api.gitToken(name, AbortSignal.timeout(30_000));
    return token === undefined ? undefined : { origin, token };
  };

  const { githubWebhookSecret: secret } = settings;
  if (secret === undefined) {
    if (settings.github !== undefined || settings.githubAppId !== undefined) {
      throw new Unusable(
        'no-webhook-secret',
        'GitHub is set up without GITHUB_WEBHOOK_SECRET, so anybody could send work. Set the secret that the webhook was made with, or take the other settings out.',
      );
    }
    return { gitToken };
  }
  const policy: GitHubPolicy = {
    botName: settings.githubBotName,
    engine: parts.engine,
    repositories: settings.github?.repositories,
    associations: settings.github?.associations ?? ['OWNER', 'MEMBER', 'COLLABORATOR'],
    allow: settings.github?.allow ?? [],
    others: settings.github?.others ?? 'ignore',
    label: settings.github?.label ?? 'nightshift',
    branches: settings.github?.branches ?? [],
    reviews: settings.github?.reviews ?? 'request-changes',
  };
  if (!api.canSpeak) {
    log.warn('github: deliveries are taken in, but without GITHUB_TOKEN or an App nobody is answered');
  }
  return {
    gitToken,
    on: {
      door: githubDoor(secret),
      source: githubSourceOf({ api, policy, store, clock }),
      channel: githubChannel(api),
      reporter: githubReporter(policy),
      start: ({ inbox }) =>
        regularly(
          clock,
          catchUpEveryMs,
          (signal) => catchUp({ api, policy, inbox, store, clock, log }, signal),
          (error) => log.warn({ err: error }, 'github: could not look for missed deliveries; trying again in an hour'),
        ),
    },
  };
}

function identityOf({ githubToken, githubAppId, githubPrivateKey }: GitHubSettings): GitHubIdentity {
  if ((githubAppId === undefined) !== (githubPrivateKey === undefined)) {
    throw new Unusable('bad-setting', 'A GitHub App needs both GITHUB_APP_ID and GITHUB_PRIVATE_KEY.');
  }
  if (githubAppId !== undefined && githubPrivateKey !== undefined) {
    return { kind: 'app', appId: githubAppId, privateKey: pemOf(githubPrivateKey) };
  }
  return githubToken === undefined ? { kind: 'none' } : { kind: 'token', token: githubToken };
}

/** The key itself, also with its line breaks written as \n as variables often have them, or a file that holds it. */
function pemOf(given: string): string {
  if (given.includes('-----BEGIN')) return given.replaceAll('\\n', '\n');
  if (!existsSync(given)) throw new Unusable('bad-setting', 'GITHUB_PRIVATE_KEY is neither a key in PEM form nor a file that exists.');
  return readFileSync(given, 'utf8');
}

/** Where git finds the repositories of an API: github.com for api.github.com, the same host for a server of one's own. */
function gitOrigin(apiUrl: string): string {
  const { origin } = new URL(apiUrl);
  return origin === 'https://api.github.com' ? 'https://github.com' : origin;
}

function nameIn(repository: string, origin: string): string | undefined {
  if (!URL.canParse(repository) || new URL(repository).origin !== origin) return undefined;
  return /^\/([\w.-]+\/[\w.-]+?)(?:\.git)?\/?$/.exec(new URL(repository).pathname)?.[1];
}
