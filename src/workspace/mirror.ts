import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, realpath, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, join, resolve, sep } from 'node:path';
import type { Clock } from '../platform/clock.ts';
import { gather } from '../platform/gather.ts';
import type { Credentials } from './credentials.ts';
import { done, type Failure, type Result, refuse } from './failure.ts';
import type { Git, GitAnswer, GitCall } from './git.ts';
import { lockFile, Turns } from './lock.ts';
import { isCommitId, isRevision } from './ref-name.ts';
import { removeTree } from './removal.ts';
import type { Repository } from './repository.ts';

/**
 * The whole history, or of one branch the newest commit only. Shallow is for repositories of many gigabytes: the first
 * fetch is short, but an agent sees no history, and a merge or rebase may find no common ancestor. A partial clone
 * (`--filter=blob:none`) was rejected: the agent has no network to fetch what it lacks.
 */
export type History = 'full' | 'shallow';

interface Wanted {
  /** A branch, tag, full reference or commit; null for the repository's default branch. */
  readonly ref: string | null;
  readonly history: History;
}

export interface Fetched {
  readonly gitDir: string;
  readonly commit: string;
  /** What `commit` was found under: a branch, a tag or the commit itself. */
  readonly ref: string;
  readonly repository: Repository;
}

/**
 * One bare repository per remote one, in the home and out of every agent's reach. The other side's branches stand under
 * `refs/upstream/heads/`, its tags under `refs/upstream/tags/`; under `refs/heads/` are only results of ours, so that
 * pruning what vanished there can never take them away, and whoever fetches from the mirror sees just those.
 */
export interface Mirrors {
  /** Brings the mirror up to date and finds the ref in it. Calls at the same time share a fetch. */
  fetch(repository: Repository, wanted: Wanted, signal: AbortSignal): Promise<Result<Fetched>>;
  gitDirOf(repository: Repository, history: History): string;
  /** To be awaited before anything else uses a mirror of an earlier process: takes away the locks that a killed git left. */
  ready(gitDir: string): Promise<void>;
  /** Bytes that a fetch under way has brought so far; 0 when they are not kept in one place, as small ones are not. */
  received(repository: Repository, history: History): Promise<number>;
  /**
   * Removes mirrors that nothing has used for a month, returning how many, packs what many fetches and runs have scattered,
   * and drops what nothing leads to since weeks. Results that were left in the mirror of a person's own repository are the
   * only copy: such a mirror stays.
   */
  /** The git directories that there are. */
  list(): Promise<readonly string[]>;
  /** Removes a mirror that nobody wants any more, with the results in it. Whether it is gone. */
  drop(gitDir: string, signal: AbortSignal): Promise<boolean>;
  maintain(inUse: (gitDir: string) => Promise<boolean>, signal: AbortSignal): Promise<number>;
}

export interface MirrorParts {
  readonly git: Git;
  readonly credentials: Credentials;
  readonly clock: Clock;
  /** Where programs are found. */
  readonly path: string;
  readonly directory: string;
  /** Nothing under it may be named as a repository: it holds other people's. */
  readonly home: string;
}

const scatteredPacks = 24;
const unusedMs = 30 * 86_400_000;

export async function openMirrors(parts: MirrorParts): Promise<Mirrors> {
  const { git, credentials, clock, directory } = parts;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const tidied = new Map<string, Promise<void>>();
  const fetching = new Map<string, (request: Request) => Promise<Result<Fetched>>>();

  const gitDirOf = (repository: Repository, history: History): string =>
    join(directory, `${repository.key}${history === 'shallow' ? '.shallow' : ''}.git`);

  /**
   * Once for each mirror, before its first use in this process: later a lock may be that of a git at work. A mirror that
   * this process makes has none to be taken away.
   */
  const ready = (gitDir: string): Promise<void> => {
    const known = tidied.get(gitDir);
    if (known) return known;
    const begun = removeLeftLocks(gitDir).catch((error: unknown) => {
      tidied.delete(gitDir);
      throw error;
    });
    tidied.set(gitDir, begun);
    return begun;
  };

  /** Holds the mirror against other processes; within this one, `gather` and `Turns` have seen to it. */
  const turns = new Turns();
  const alone = <T>(gitDir: string, signal: AbortSignal, work: () => Promise<Result<T>>): Promise<Result<T>> =>
    turns.take(gitDir, async () => {
      const release = await lockFile(`${gitDir}.lock`, clock, signal);
      if (!release) return refuse('cancelled', 'The fetch was called off.');
      try {
        return await work();
      } finally {
        release();
      }
    });

  /** One fetch for everybody who waits for one, then each finds its ref. Those who gave up meanwhile are told so. */
  const fetchFor = async (requests: readonly Request[]): Promise<readonly Result<Fetched>[]> => {
    const live = requests.filter(({ signal }) => !signal.aborted);
    const first = live[0];
    if (!first) return requests.map(() => refuse('cancelled', 'The fetch was called off.'));
    const { repository, wanted } = first;
    const gitDir = gitDirOf(repository, wanted.history);
    const signal = allAborted(live.map((request) => request.signal));
    try {
      const refs = [...new Set(live.map((request) => request.wanted.ref))];
      const fetched = await alone(gitDir, signal.signal, async () => {
        const refreshed = await refresh(repository, wanted.history, refs, gitDir, signal.signal);
        if (refreshed.ok) await markUsed(gitDir, repository.url, clock.now());
        return refreshed;
      });
      return await Promise.all(
        requests.map(async (request): Promise<Result<Fetched>> => {
          if (request.signal.aborted) return refuse('cancelled', 'The fetch was called off.');
          if (!fetched.ok) return fetched;
          return fetched.value.get(request.wanted.ref) ?? refuse('no-such-ref', noSuchRef(repository, request.wanted.ref));
        }),
      );
    } finally {
      signal.release();
    }
  };

  const refresh = async (
    repository: Repository,
    history: History,
    refs: readonly (string | null)[],
    gitDir: string,
    signal: AbortSignal,
  ): Promise<Result<Found>> => {
    await ready(gitDir);
    // An agent without a sandbox could have written into it; settings that run programs must not come from there.
    if (existsSync(gitDir)) await writeFile(join(gitDir, 'config'), ownConfig);
    const first = await update(repository, history, refs, gitDir, signal);
    if (first.ok || first.failure.code !== 'mirror-corrupt' || !existsSync(gitDir)) return first;
    return rebuild(repository, history, refs, gitDir, signal);
  };

  /** Made beside its place and moved there when it is whole, so a half-made mirror is never taken for one. */
  const update = async (
    repository: Repository,
    history: History,
    refs: readonly (string | null)[],
    gitDir: string,
    signal: AbortSignal,
  ): Promise<Result<Found>> => {
    if (existsSync(gitDir)) return fetchInto(repository, history, refs, gitDir, signal);
    await removeUnfinished(directory, gitDir);
    const fresh = `${gitDir}.new-${randomUUID()}`;
    const made = await git.run({ args: ['init', '--quiet', '--bare', '--template=', '--initial-branch=main', fresh] }, signal);
    if (!made.ok) return made;
    const fetched = await fetchInto(repository, history, refs, fresh, signal);
    if (!fetched.ok) {
      await rm(fresh, { recursive: true, force: true });
      return fetched;
    }
    await rm(gitDir, { recursive: true, force: true });
    await rename(fresh, gitDir);
    return done(relocated(fetched.value, gitDir));
  };

  /** Results that were only in the damaged mirror are carried over. If one could not be read, the damaged mirror stays beside the new one. */
  const rebuild = async (
    repository: Repository,
    history: History,
    refs: readonly (string | null)[],
    gitDir: string,
    signal: AbortSignal,
  ): Promise<Result<Found>> => {
    const damaged = `${gitDir}.damaged-${clock.now()}`;
    await rename(gitDir, damaged);
    const anew = await update(repository, history, refs, gitDir, signal);
    if (!anew.ok) {
      // Better a damaged mirror, which holds results, than none.
      await rm(gitDir, { recursive: true, force: true });
      await rename(damaged, gitDir);
      return anew;
    }
    await writeOwnFiles(damaged);
    const kept = await git.run({ gitDir: damaged, args: ['for-each-ref', '--format=%(refname)', 'refs/heads', 'refs/nightshift'] }, signal);
    let whole = kept.ok;
    for (const ref of kept.ok ? kept.value.stdout.split('\n').filter(Boolean) : []) {
      const transport = { protocols: 'file', env: {}, redact: (text: string) => text };
      const carried = await git.run({ gitDir, args: [...fetchArguments, '--', damaged, `+${ref}:${ref}`], transport }, signal);
      whole &&= carried.ok;
    }
    if (whole) await rm(damaged, { recursive: true, force: true });
    return anew;
  };

  const fetchInto = (
    repository: Repository,
    history: History,
    refs: readonly (string | null)[],
    gitDir: string,
    signal: AbortSignal,
  ): Promise<Result<Found>> =>
    credentials.reaching(repository, async (transport) => {
      const reach = (args: readonly string[]): Promise<Result<GitAnswer>> =>
        git.run({ gitDir, args, transport, subject: repository.url }, signal);
      const local = (call: Omit<GitCall, 'gitDir'>): Promise<Result<GitAnswer>> =>
        git.run({ gitDir, ...call, subject: repository.url }, signal);
      return collect(repository, history, refs, gitDir, reach, local);
    });

  const isUnneeded = async (gitDir: string, inUse: (gitDir: string) => Promise<boolean>, signal: AbortSignal): Promise<boolean> => {
    const used = await lastUse(gitDir);
    if (!used) {
      // Its month begins now; what is no mirror at all stays as it is.
      await markUsed(gitDir, '', clock.now()).catch(() => undefined);
      return false;
    }
    if (clock.now() - used.at < unusedMs || (await inUse(gitDir))) return false;
    if (used.repository !== '' && !used.repository.startsWith('/')) return true;
    const results = await git.run({ gitDir, args: ['for-each-ref', '--count=1', 'refs/heads'] }, signal);
    return results.ok && results.value.stdout === '';
  };

  /** Moved away first, so that a mirror of which half is left is never taken for one. */
  const discard = async (gitDir: string, inUse: (gitDir: string) => Promise<boolean>, signal: AbortSignal): Promise<Result<boolean>> => {
    // Asked again now that it is locked: a run may have come for it meanwhile.
    return (await isUnneeded(gitDir, inUse, signal)) ? throwAway(gitDir, signal) : done(false);
  };

  const throwAway = async (gitDir: string, signal: AbortSignal): Promise<Result<boolean>> => {
    const gone = `${gitDir}.gone-${randomUUID()}`;
    await rename(gitDir, gone);
    return done(await removeTree(gone, parts, signal));
  };

  const pack = async (gitDir: string, signal: AbortSignal): Promise<Result<GitAnswer>> => {
    // What no branch, tag or pin leads to, left by runs that came to nothing. Anything that is being made is younger.
    await git.run({ gitDir, args: ['prune', '--expire=2.weeks.ago'] }, signal);
    const packed = await git.run({ gitDir, args: ['repack', '-d', '--geometric=2', '--quiet'] }, signal);
    return packed.ok ? git.run({ gitDir, args: ['pack-refs', '--all'] }, signal) : packed;
  };

  return {
    gitDirOf,
    ready,
    async received(repository, history) {
      const own = basename(gitDirOf(repository, history));
      const places = (await readdir(directory)).filter((name) => name === own || name.startsWith(`${own}.new-`));
      const sizes = await Promise.all(places.map((name) => unfinishedPacks(join(directory, name))));
      return sizes.reduce((sum, size) => sum + size, 0);
    },
    async fetch(repository, wanted, signal) {
      if (wanted.ref !== null && !isRevision(wanted.ref)) {
        return refuse('invalid-ref', `${JSON.stringify(wanted.ref)} cannot be a branch, tag or commit. Correct the task's ref.`);
      }
      if (repository.kind === 'local' && (await isWithin(repository.url, parts.home))) {
        return refuse('invalid-repository', "The repository's path lies in the server's own home. Name another one.");
      }
      const gitDir = gitDirOf(repository, wanted.history);
      let fetchOne = fetching.get(gitDir);
      if (!fetchOne) {
        fetchOne = gather(fetchFor);
        fetching.set(gitDir, fetchOne);
      }
      return orCalledOff(fetchOne({ repository, wanted, signal }), signal);
    },
    async list() {
      return (await readdir(directory)).filter((name) => name.endsWith('.git')).map((name) => join(directory, name));
    },
    async drop(gitDir, signal) {
      if (!existsSync(gitDir)) return true;
      const gone = await alone(gitDir, signal, () => throwAway(gitDir, signal));
      return gone.ok && gone.value;
    },
    async maintain(inUse, signal) {
      let removed = 0;
      for (const name of await readdir(directory)) {
        const gitDir = join(directory, name);
        if (signal.aborted) break;
        if (goneMirror.test(name)) await removeTree(gitDir, parts, signal);
        if (!name.endsWith('.git')) continue;
        if (await isUnneeded(gitDir, inUse, signal)) {
          const gone = await alone(gitDir, signal, () => discard(gitDir, inUse, signal));
          if (gone.ok && gone.value) removed += 1;
        } else if (await isScattered(gitDir)) {
          await alone(gitDir, signal, async () => {
            await ready(gitDir);
            return pack(gitDir, signal);
          });
        }
      }
      return removed;
    },
  };
}

interface Request {
  readonly repository: Repository;
  readonly wanted: Wanted;
  readonly signal: AbortSignal;
}

type Found = ReadonlyMap<string | null, Result<Fetched>>;
type Ask = (args: readonly string[]) => Promise<Result<GitAnswer>>;
type Look = (call: Omit<GitCall, 'gitDir'>) => Promise<Result<GitAnswer>>;

const fetchArguments = ['fetch', '--quiet', '--no-tags', '--no-write-fetch-head', '--no-auto-maintenance', '--no-recurse-submodules'];
const heads = 'refs/upstream/heads/';
const tags = 'refs/upstream/tags/';
const others = 'refs/upstream/other/';

/** The fetch itself, and the search for each ref. The default branch's name is asked for at the same time: it costs no waiting. */
async function collect(
  repository: Repository,
  history: History,
  refs: readonly (string | null)[],
  gitDir: string,
  reach: Ask,
  local: Look,
): Promise<Result<Found>> {
  const askHead = refs.includes(null);
  const everything = [...fetchArguments, '--prune', '--', repository.url, `+refs/heads/*:${heads}*`, `+refs/tags/*:${tags}*`];
  const [all, head] = await Promise.all([
    history === 'full' ? reach(everything) : done({ code: 0, stdout: '' }),
    askHead ? reach(['ls-remote', '--symref', '--', repository.url, 'HEAD']) : undefined,
  ]);
  if (!all.ok) return all;
  if (head && !head.ok) return head;
  const found = new Map<string | null, Result<Fetched>>();
  for (const ref of refs) {
    const name = ref ?? headOf(head?.value.stdout ?? '');
    const commit: Result<{ readonly commit: string; readonly ref: string }> =
      name === undefined
        ? await without(repository, local)
        : history === 'full'
          ? await find(repository, name, reach, local)
          : await findShallow(repository, name, reach, local);
    if (!commit.ok && commit.failure.code === 'mirror-corrupt') return commit;
    found.set(ref, commit.ok ? done({ gitDir, repository, ...commit.value }) : commit);
  }
  return done(found);
}

/** From ls-remote: the branch that HEAD names, or the commit when it names none. */
function headOf(listing: string): string | undefined {
  const branch = /^ref: refs\/heads\/(\S+)\tHEAD$/m.exec(listing)?.[1];
  const commit = /^([0-9a-f]{40,64})\tHEAD$/m.exec(listing)?.[1];
  return commit === undefined ? undefined : (branch ?? commit);
}

/** HEAD leads nowhere: there is nothing at all, or only other branches. */
async function without(repository: Repository, local: Look): Promise<Result<never>> {
  const any = await local({ args: ['for-each-ref', '--count=1', heads] });
  if (!any.ok) return any;
  return any.value.stdout === ''
    ? refuse('empty-repository', `${repository.url} has no commits yet. Push a first one, then retry the task.`)
    : refuse('no-such-ref', `${repository.url} has no default branch. Name a branch in the task's ref.`);
}

async function find(
  repository: Repository,
  name: string,
  reach: Ask,
  local: Look,
): Promise<Result<{ readonly commit: string; readonly ref: string }>> {
  const short = name.replace(/^refs\/(?:heads|tags)\//, '');
  const places = name.startsWith('refs/heads/')
    ? [heads + short]
    : name.startsWith('refs/tags/')
      ? [tags + short]
      : [heads + short, tags + short];
  for (const place of places) {
    const commit = await commitAt(place, local);
    if (!commit.ok) return commit;
    if (commit.value !== undefined) return done({ commit: commit.value, ref: short });
  }
  if (isCommitId(name) || /^[0-9a-f]{7,63}$/.test(name)) {
    const commit = await commitAt(name, local);
    if (!commit.ok) return commit;
    if (commit.value !== undefined) return done({ commit: commit.value, ref: commit.value });
  }
  // A commit that no branch leads to any more, or a reference outside of branches and tags, such as refs/pull/7/head.
  if (isCommitId(name) || name.startsWith('refs/')) {
    const place = others + name.replace(/^refs\//, '');
    const fetched = await reach([...fetchArguments, '--', repository.url, `+${name}:${place}`]);
    if (!fetched.ok) return fetched;
    const commit = await commitAt(place, local);
    if (!commit.ok) return commit;
    if (commit.value !== undefined) return done({ commit: commit.value, ref: isCommitId(name) ? name : name.slice('refs/'.length) });
  }
  const any = await local({ args: ['for-each-ref', '--count=1', heads] });
  if (any.ok && any.value.stdout === '') return without(repository, local);
  return refuse('no-such-ref', noSuchRef(repository, name));
}

async function findShallow(
  repository: Repository,
  name: string,
  reach: Ask,
  local: Look,
): Promise<Result<{ readonly commit: string; readonly ref: string }>> {
  const short = name.replace(/^refs\/(?:heads|tags)\//, '');
  const sources = isCommitId(name) ? [name] : name.startsWith('refs/') ? [name] : [`refs/heads/${short}`, `refs/tags/${short}`];
  let missing: Failure | undefined;
  for (const source of sources) {
    const place = source.startsWith('refs/heads/') ? heads + short : source.startsWith('refs/tags/') ? tags + short : others + short;
    const fetched = await reach([...fetchArguments, '--depth=1', '--', repository.url, `+${source}:${place}`]);
    if (!fetched.ok && fetched.failure.code !== 'no-such-ref') return fetched;
    if (!fetched.ok) {
      missing = fetched.failure;
      continue;
    }
    const commit = await commitAt(place, local);
    if (!commit.ok) return commit;
    if (commit.value !== undefined) return done({ commit: commit.value, ref: short });
  }
  return missing ? { ok: false, failure: missing } : refuse('no-such-ref', noSuchRef(repository, name));
}

async function commitAt(place: string, local: Look): Promise<Result<string | undefined>> {
  const answer = await local({ args: ['rev-parse', '--verify', '--quiet', '--end-of-options', `${place}^{commit}`], answers: [0, 1] });
  if (!answer.ok) return answer;
  return done(answer.value.code === 0 ? answer.value.stdout.trim() : undefined);
}

const noSuchRef = (repository: Repository, ref: string | null): string =>
  `${repository.url} has no branch, tag or commit named ${ref ?? 'HEAD'}. Correct the task's ref.`;

const relocated = (found: Found, gitDir: string): Found =>
  new Map([...found].map(([ref, result]) => [ref, result.ok ? done({ ...result.value, gitDir }) : result]));

/** Whoever is called off need not wait for those with whom a fetch is shared. */
function orCalledOff<T>(fetched: Promise<Result<T>>, signal: AbortSignal): Promise<Result<T>> {
  return new Promise((resolve, reject) => {
    const leave = (): void => resolve(refuse('cancelled', 'The fetch was called off.'));
    signal.addEventListener('abort', leave, { once: true });
    fetched.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}

/** Aborts when the last of them has: a fetch goes on for as long as somebody waits for it. */
function allAborted(signals: readonly AbortSignal[]): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const look = (): void => {
    if (signals.every(({ aborted }) => aborted)) controller.abort('nobody waits any more');
  };
  for (const signal of signals) signal.addEventListener('abort', look);
  look();
  return {
    signal: controller.signal,
    release: () => {
      for (const signal of signals) signal.removeEventListener('abort', look);
    },
  };
}

async function isWithin(path: string, directory: string): Promise<boolean> {
  const [inner, outer] = await Promise.all([path, directory].map((each) => realpath(each).catch(() => resolve(each))));
  return inner === outer || inner?.startsWith(outer + sep) === true;
}

const ownConfig = '[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n';

async function writeOwnFiles(gitDir: string): Promise<void> {
  await writeFile(join(gitDir, 'config'), ownConfig);
  await writeFile(join(gitDir, 'HEAD'), 'ref: refs/heads/main\n');
}

/**
 * Locks that a killed git left. Nobody holds them: nothing has used the mirror in this process yet, and what an earlier
 * process started was killed with it.
 */
async function removeLeftLocks(gitDir: string): Promise<void> {
  for (const place of ['', 'refs', 'objects/info', 'objects/pack']) {
    const entries = await readdir(join(gitDir, place), { recursive: place === 'refs', withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.isFile() && (entry.name.endsWith('.lock') || entry.name.startsWith('tmp_pack_') || entry.name.startsWith('tmp_idx_'))) {
        await rm(join(entry.parentPath, entry.name), { force: true });
      }
    }
  }
}

/** What a killed process began to make and never moved into place. The mirror's lock is held. */
async function removeUnfinished(directory: string, gitDir: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (path.startsWith(`${gitDir}.new-`)) await rm(path, { recursive: true, force: true });
  }
}

const goneMirror = /\.git\.gone-[0-9a-f-]+$/;

/** A file in the mirror: it holds whose mirror it is, and its time is that of the last use. */
const useFile = (gitDir: string): string => join(gitDir, 'nightshift-used');

async function markUsed(gitDir: string, repository: string, now: number): Promise<void> {
  await writeFile(useFile(gitDir), repository);
  await utimes(useFile(gitDir), now / 1_000, now / 1_000);
}

async function lastUse(gitDir: string): Promise<{ readonly at: number; readonly repository: string } | undefined> {
  const [found, repository] = await Promise.all([
    stat(useFile(gitDir)).catch(() => undefined),
    readFile(useFile(gitDir), 'utf8').catch(() => ''),
  ]);
  return found && { at: found.mtimeMs, repository };
}

async function unfinishedPacks(gitDir: string): Promise<number> {
  const packs = join(gitDir, 'objects/pack');
  const names = (await readdir(packs).catch(() => [])).filter((name) => name.startsWith('tmp_pack_'));
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(packs, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function isScattered(gitDir: string): Promise<boolean> {
  const packs = await readdir(join(gitDir, 'objects/pack')).catch(() => []);
  if (packs.filter((name) => name.endsWith('.pack')).length > scatteredPacks) return true;
  // Loose objects spread evenly over 256 directories, so one of them tells how many there are.
  const sample = await readdir(join(gitDir, 'objects/17')).catch(() => []);
  return sample.length > 27;
}
