import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { done, type Result, refuse } from './failure.ts';

/** A repository as a task may name it, in one normal form without secrets. */
export interface Repository {
  readonly kind: 'http' | 'ssh' | 'local';
  /** What git is given, and what tables and people see. */
  readonly url: string;
  /** `https://host[:port]` for http(s), which is what a token belongs to; null for the others. */
  readonly origin: string | null;
  /** Names its mirror: the same for every spelling of the same address, and safe as a file name. */
  readonly key: string;
}

const longest = 2_000;
const controls = /[\p{Cc}\u2028\u2029]/u;
const hostPattern = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])$/i;
const userPattern = /^[a-z0-9_][a-z0-9_.-]*$/i;
const scpPattern = /^(?:([^/@:]*)@)?([^/@:]+|\[[^\]/@]*\]):(?!\/\/)(.+)$/;

/** Pure: says what a text names, not whether it is there. `local` tells whether paths on this machine may be named. */
export function parseRepository(text: string, allow: { readonly local: boolean }): Result<Repository> {
  if (text === '' || text !== text.trim()) return invalid('is empty or begins or ends with a blank');
  if (text.length > longest) return invalid(`is longer than ${longest} characters`);
  if (controls.test(text) || !text.isWellFormed()) return invalid('contains control characters');
  if (text.startsWith('-')) return invalid('begins with "-"');
  if (text.startsWith('/')) return local(text, allow.local);
  if (/[\s\\]/.test(text)) return invalid('contains a blank or a backslash; write %20 for a blank');
  const scheme = /^([a-z][a-z0-9+.-]*):(\/\/)?/i.exec(text);
  if (scheme?.[2] !== undefined) return byUrl(text, (scheme[1] as string).toLowerCase(), allow.local);
  if (/^[a-z0-9+.-]+::/i.test(text)) return invalid('uses a transport helper ("::"), and those run programs');
  const scp = scpPattern.exec(text);
  if (scp) return byScp(scp[1], scp[2] as string, scp[3] as string);
  return invalid('is neither a URL (https://…, ssh://…, git@host:path) nor an absolute path');
}

/** One name for every way of writing a repository's address; undefined for what is none. */
export function canonicalAddress(text: string): string | undefined {
  const parsed = parseRepository(text, { local: true });
  return parsed.ok ? parsed.value.url.replace(/\.git$/, '') : undefined;
}

function byUrl(text: string, scheme: string, localAllowed: boolean): Result<Repository> {
  if (scheme === 'git') return invalid('uses git://, which neither encrypts nor authenticates; use https:// or ssh://');
  if (!['https', 'http', 'ssh', 'file'].includes(scheme)) return invalid(`uses ${scheme}://; known are https, http, ssh and file`);
  const rawPath = /^[a-z]+:\/\/[^/?#]*(.*)$/i.exec(text)?.[1] ?? '';
  const url = URL.parse(text);
  if (!url) return invalid('is not a well-formed URL');
  if (url.search !== '' || url.hash !== '' || /[?#]/.test(text)) return invalid('has a query or a fragment');
  const path = decoded(rawPath);
  if (path === undefined || controls.test(path)) return invalid('has a path that cannot be decoded');
  if (hasDots(path)) return invalid('has "." or ".." in its path');
  if (scheme === 'file') {
    if (url.hostname !== '' && url.hostname !== 'localhost') return invalid('names another machine by file://');
    return local(fileURLToPath(`file://${rawPath}`), localAllowed);
  }
  if (!hostPattern.test(url.hostname)) return invalid('has no valid host name');
  const trimmed = rawPath.replace(/\/+$/, '');
  if (trimmed === '') return invalid('names a host but no repository');
  const host = url.host.toLowerCase();
  if (scheme === 'ssh') {
    if (url.password !== '') return withCredentials();
    if (url.username !== '' && !userPattern.test(url.username)) return invalid('has an invalid user name');
    return done(repository('ssh', `ssh://${url.username === '' ? '' : `${url.username}@`}${host}${trimmed}`, null));
  }
  if (url.username !== '' || url.password !== '') return withCredentials();
  return done(repository('http', `${scheme}://${host}${trimmed}`, `${scheme}://${host}`));
}

function byScp(user: string | undefined, host: string, path: string): Result<Repository> {
  if (!hostPattern.test(host)) return invalid('has no valid host name');
  if (user !== undefined && !userPattern.test(user)) return invalid('has an invalid user name');
  if (path.startsWith('-')) return invalid('has a path that begins with "-"');
  if (hasDots(path)) return invalid('has "." or ".." in its path');
  if (/^\/*$/.test(path)) return invalid('names a host but no repository');
  return done(repository('ssh', `${user === undefined ? '' : `${user}@`}${host.toLowerCase()}:${path.replace(/\/+$/, '')}`, null));
}

function local(path: string, allowed: boolean): Result<Repository> {
  if (!allowed) {
    return refuse('local-not-allowed', 'Whoever wrote this task may not name paths on the server. Name the repository by its URL.');
  }
  if (hasDots(path)) return invalid('has "." or ".." in its path');
  const normal = posix.normalize(path).replace(/\/+$/, '');
  if (normal === '') return invalid('is the root of the file system');
  if (normal !== normal.trimEnd()) return invalid('ends with a blank'); // that a slash behind it had hidden
  return done(repository('local', normal, null));
}

function repository(kind: Repository['kind'], url: string, origin: string | null): Repository {
  const canonical = url.replace(/\.git$/, '');
  const name = (canonical.split(/[/:]/).at(-1) ?? '').replaceAll(/[^a-zA-Z0-9_-]+/g, '-').slice(0, 40);
  const hash = createHash('sha256').update(`${kind} ${canonical}`).digest('hex').slice(0, 20);
  return { kind, url, origin, key: `${name === '' || name.startsWith('-') ? 'repository' : name}-${hash}` };
}

const hasDots = (path: string): boolean => path.split('/').some((part) => part === '..' || part === '.');

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

const invalid = (why: string): Result<Repository> =>
  refuse('invalid-repository', `The repository's address ${why}. Correct it in the task and submit it again.`);

const withCredentials = (): Result<Repository> =>
  refuse(
    'credentials-in-url',
    "The repository's address carries a user name or a password. Take them out of the address and store the token in the server's settings for that host; consider this one leaked.",
  );
