import { createPrivateKey, createSign } from 'node:crypto';
import { Unusable } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { type Answer, type Call, call, repo, type Wire } from './client.ts';
import type { GitHubIdentity } from './settings.ts';

/** GitHub's API as whoever we are there. */
export interface GitHubApi {
  /** False when there is no identity: then everything is refused. */
  readonly canSpeak: boolean;
  /** In a repository; with an App, as its installation there. */
  in(repository: string, request: Call, signal: AbortSignal): Promise<Answer>;
  /** As the App itself; refused for a token. */
  asApp(request: Call, signal: AbortSignal): Promise<Answer>;
  /** A token that git may use for the repository, if there is one. */
  gitToken(repository: string, signal: AbortSignal): Promise<string | undefined>;
}

interface Installation {
  readonly token: string;
  /** By the monotonic clock. */
  readonly until: number;
}

/** Installation tokens live for an hour; one that is nearly over is not used any more. */
const tokenLifeMs = 50 * 60_000;

export function createApi(parts: {
  readonly apiUrl: string;
  readonly identity: GitHubIdentity;
  readonly clock: Clock;
  readonly userAgent: string;
}): GitHubApi {
  const { identity, clock } = parts;
  const wire: Wire = parts;
  const installations = new Map<string, Promise<Installation | Answer>>();
  /** How far GitHub's clock is ahead of ours, as far as that has mattered. */
  let skewMs = 0;
  const sign = identity.kind === 'app' ? appSignature(identity.appId, identity.privateKey) : undefined;

  async function tokenFor(repository: string, signal: AbortSignal): Promise<{ readonly token: string } | Answer> {
    if (identity.kind === 'token') return { token: identity.token };
    const known = await installations.get(repository.toLowerCase());
    if (known && 'token' in known && known.until > clock.monotonic()) return known;
    const asked = install(repository, signal);
    installations.set(repository.toLowerCase(), asked);
    const installed = await asked;
    if (!('token' in installed)) installations.delete(repository.toLowerCase());
    return installed;
  }

  async function install(repository: string, signal: AbortSignal): Promise<Installation | Answer> {
    const where = await asApp({ method: 'GET', path: `${repo(repository)}/installation` }, signal);
    if (where.kind !== 'ok') return where;
    const { id } = where.body as { id: number };
    const given = await asApp({ method: 'POST', path: `/app/installations/${Number(id)}/access_tokens` }, signal);
    if (given.kind !== 'ok') return given;
    return { token: String((given.body as { token: unknown }).token), until: clock.monotonic() + tokenLifeMs };
  }

  async function asApp(request: Call, signal: AbortSignal): Promise<Answer> {
    if (!sign) return { kind: 'refused', status: 0, message: 'There is no GitHub App set up.' };
    const answer = await call(wire, `Bearer ${sign(clock.now() + skewMs)}`, request, signal);
    if (answer.kind !== 'refused' || answer.status !== 401 || answer.at === undefined) return answer;
    // What is signed for a time that GitHub finds to be in the future is refused: then its clock is the one to go by.
    const found = answer.at - clock.now();
    if (Math.abs(found - skewMs) < 30_000) return answer;
    skewMs = found;
    return call(wire, `Bearer ${sign(clock.now() + skewMs)}`, request, signal);
  }

  return {
    canSpeak: identity.kind !== 'none',
    asApp,
    async in(repository, request, signal) {
      if (identity.kind === 'none') return { kind: 'refused', status: 0, message: noIdentity };
      const granted = await tokenFor(repository, signal);
      if (!('token' in granted)) return granted;
      const answer = await call(wire, `Bearer ${granted.token}`, request, signal);
      // The installation was changed or its token revoked: the next call gets a new one.
      if (answer.kind === 'refused' && answer.status === 401) installations.delete(repository.toLowerCase());
      return answer;
    },
    async gitToken(repository, signal) {
      const granted = identity.kind === 'none' ? undefined : await tokenFor(repository, signal);
      return granted && 'token' in granted ? granted.token : undefined;
    },
  };
}

const noIdentity = 'There is neither GITHUB_TOKEN nor a GitHub App, so nothing can be looked up or answered there. Set one.';

/** A JSON Web Token that GitHub takes for the App's word: good for nine minutes, begun a minute ago for clocks that differ. */
function appSignature(appId: string, privateKey: string): (now: number) => string {
  const key = (() => {
    try {
      return createPrivateKey(privateKey);
    } catch (cause) {
      throw new Unusable('bad-setting', 'githubPrivateKey (GITHUB_PRIVATE_KEY) is no private key in PEM form, nor a file with one.', cause);
    }
  })();
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return (now) => {
    const seconds = Math.floor(now / 1_000);
    const claims = `${part({ alg: 'RS256', typ: 'JWT' })}.${part({ iat: seconds - 60, exp: seconds + 540, iss: appId })}`;
    return `${claims}.${createSign('RSA-SHA256').update(claims).sign(key, 'base64url')}`;
  };
}
