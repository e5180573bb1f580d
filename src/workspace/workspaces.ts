import { lstat, mkdir, readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint, CheckpointPolicy } from '../domain/checkpoint.ts';
import { idPrefixes, isId } from '../domain/id.ts';
import { type WorkspaceRecord, workspaceStatuses } from '../domain/workspace.ts';
import type { Clock } from '../platform/clock.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import type { Store, Tx } from '../store/store.ts';
import {
  abandonedWorkspaces,
  beginCleaning,
  dueForCleaning,
  endWorkspace,
  findWorkspace,
  insertWorkspace,
  listWorkspaces,
  markRemoved,
  reopenWorkspace,
  setTip,
  takeOverWorkspace,
} from '../store/workspaces.ts';
import { unlockAgentGit, writeAgentGit } from './agent-git.ts';
import { type Checkouts, indexOf, treeOf } from './checkout.ts';
import type { Bounds } from './checkpoint.ts';
import { type Checkpoints, createCheckpoints } from './checkpoints.ts';
import { beforeTask, type Committed, type CommitWish, commitAll } from './commit.ts';
import { type Diff, diff } from './diff.ts';
import { done, type Result, refuse } from './failure.ts';
import type { Git } from './git.ts';
import { Turns } from './lock.ts';
import type { Fetched, History, Mirrors } from './mirror.ts';
import { readable } from './paths.ts';
import { branchFor } from './ref-name.ts';
import { removeTree } from './removal.ts';
import type { Repository } from './repository.ts';
import { nothingSetAside, setAside, whatIsSetAside } from './set-aside.ts';
import { explainIgnored, type Ignored, restoreFiles, swapFiles, takeSnapshot } from './snapshot.ts';
import type { Workspace } from './workspace.ts';

export type { Workspace };

interface WorkspaceWish {
  readonly taskId: string;
  readonly runId: string;
  readonly title: string;
  readonly repository: Repository;
  readonly ref: string | null;
  readonly history?: History;
  /** Told now and then while the repository is being fetched and that takes long. */
  readonly onLongFetch?: (text: string) => void;
  /** `last-commit` begins at what an earlier run of the task committed, if there is such a thing; the diff stays against the base. */
  readonly from?: 'base' | 'last-commit';
}

type Removal = 'removed' | 'not-found' | 'busy' | 'elsewhere';

interface Changes extends Diff {
  readonly tree: string;
  readonly leftOut: readonly string[];
}

interface Taken {
  readonly tree: string;
  readonly tooBig: readonly string[];
}

interface Swept {
  readonly ended: number;
  readonly removed: number;
  readonly stray: number;
  readonly mirrors: number;
  readonly checkpoints: number;
}

/**
 * The life of workspaces on this node. A row is written before anything is on disk and kept when nothing is any more, so
 * a crash at any moment leaves nothing that the next sweep does not find.
 */
export interface Workspaces {
  /** Fetches, and gives the run a checkout of its own. A failure leaves nothing behind. */
  open(wish: WorkspaceWish, signal: AbortSignal): Promise<Result<Workspace>>;
  /** The workspace that an earlier run of the task left active on this node, now this run's; undefined if there is none to go on in. */
  resume(taskId: string, runId: string): Promise<Workspace | undefined>;
  /**
   * The workspace of a checkpoint, whatever became of its run, now this run's, with the files as they were then. Undefined when
   * it is no more, on another node, or in use.
   */
  takeUp(
    checkpoint: Checkpoint,
    runId: string,
    /** Part of the change by which it becomes the run's. */
    taking: (tx: Tx) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Result<Workspace | undefined>>;
  readonly checkpoints: Checkpoints;
  /** What the workspace holds now, against its base; the agent should stand still. The whole patch goes to the file. */
  changes(workspace: Workspace, patchFile: string, signal: AbortSignal): Promise<Result<Changes>>;
  /** All the files as they are now, as a tree in the mirror; but for those that are too big to be anybody's work. `live`: somebody is at work. */
  snapshot(workspace: Workspace, signal: AbortSignal, live?: boolean): Promise<Result<Taken>>;
  /** What lies there and is in no snapshot, and by which rule. */
  ignored(workspace: Workspace, signal: AbortSignal): Promise<Result<readonly Ignored[]>>;
  /** Puts the files of a snapshot or of the base in the place of those that git knows. Only for the time of `preserve`. */
  swap(workspace: Workspace, tree: string, signal: AbortSignal): Promise<Result<void>>;
  /**
   * Does something that may write files, and brings those of the snapshot back whatever happens: after a crash, when the next
   * run takes the workspace over. What is ignored stays; nothing outside of the workspace is touched.
   */
  preserve<T>(workspace: Workspace, tree: string, work: () => Promise<T>, signal: AbortSignal): Promise<Result<T>>;
  /** Commits all of it to the workspace's branch in the mirror, and remembers that; see `commitAll`. */
  commit(workspace: Workspace, wish: CommitWish, signal: AbortSignal): Promise<Result<Committed>>;
  /** The run is over: from now on its time to be removed is known. Idempotent. */
  close(id: string, status: 'completed' | 'error'): Promise<void>;
  find(id: string): Promise<Workspace | undefined>;
  remove(id: string, signal: AbortSignal): Promise<Removal>;
  /**
   * Removes all that this disk holds of a task: its workspaces, and their mirrors with the results in them when no other
   * task has a workspace there. Whether all of it is gone.
   */
  forgetTask(taskId: string, signal: AbortSignal): Promise<boolean>;
  /** Ends what was abandoned and removes what is due, mirrors included. To be called now and then. */
  sweep(signal: AbortSignal): Promise<Swept>;
}

export interface WorkspaceParts {
  readonly store: Store;
  readonly git: Git;
  readonly mirrors: Mirrors;
  readonly checkouts: Checkouts;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly nodeId: string;
  readonly directory: string;
  readonly path: string;
  readonly keep: { readonly completedMs: number; readonly errorMs: number };
  readonly checkpoints: CheckpointPolicy;
  readonly checkpointBounds?: Bounds;
  /** With less than this on the disk no workspace is opened. */
  readonly minFreeBytes?: number;
}

const firstTellingMs = 10_000;
const rarestTellingMs = 300_000;
const defaultMinFree = 512 * 1024 * 1024;

export function createWorkspaces(parts: WorkspaceParts): Workspaces {
  const { store, git, mirrors, checkouts, clock, log, nodeId } = parts;
  const turns = new Turns();
  const inTurn = <T>(id: string, work: () => Promise<Result<T>>): Promise<Result<T>> => turns.take(id, () => fullDiskAsFailure(work));

  const open: Workspaces['open'] = (wish, signal) => fullDiskAsFailure(() => openOn(wish, signal));

  const openOn: Workspaces['open'] = async (wish, signal) => {
    const space = await enoughSpace();
    if (!space.ok) return space;
    const stopTelling = tellOfFetch(wish);
    const fetched = await mirrors.fetch(wish.repository, { ref: wish.ref, history: wish.history ?? 'full' }, signal).finally(stopTelling);
    if (!fetched.ok) return fetched;
    const record = await newRecord(wish, fetched.value, signal);
    if (!record.ok) return record;
    await store.write((tx) => insertWorkspace(tx, record.value));
    const workspace = onDisk(record.value);
    const furnished = await furnish(workspace, signal).catch(async (error: unknown) => {
      await giveUp(record.value);
      throw error;
    });
    if (furnished.ok) return done(workspace);
    await giveUp(record.value);
    return furnished;
  };

  /** After a while, and then ever more rarely. Returns how to stop. */
  const tellOfFetch = ({ repository, history = 'full', onLongFetch }: WorkspaceWish): (() => void) => {
    if (!onLongFetch) return () => undefined;
    const began = clock.monotonic();
    let cancel = (): void => undefined;
    let over = false;
    const tell = async (): Promise<void> => {
      const bytes = await mirrors.received(repository, history).catch(() => 0);
      if (over) return;
      const seconds = Math.round((clock.monotonic() - began) / 1_000);
      const size = bytes < 2 ** 20 ? '' : `, ${Math.round(bytes / 2 ** 20)} MB received`;
      onLongFetch(`${repository.url} is still being fetched: ${seconds} s so far${size}.`);
      cancel = clock.after(Math.min(rarestTellingMs, seconds * 1_000), () => void tell());
    };
    cancel = clock.after(firstTellingMs, () => void tell());
    return () => {
      over = true;
      cancel();
    };
  };

  const newRecord = async (wish: WorkspaceWish, fetched: Fetched, signal: AbortSignal): Promise<Result<WorkspaceRecord>> => {
    const id = parts.newId(idPrefixes.workspace);
    const branch = branchFor(wish.taskId, wish.title);
    let [base, tip] = [fetched.commit, fetched.commit];
    if (wish.from === 'last-commit') {
      const last = await git.run(
        { gitDir: fetched.gitDir, args: ['rev-parse', '--verify', '--quiet', `refs/heads/${branch}^{commit}`], answers: [0, 1] },
        signal,
      );
      if (!last.ok) return last;
      if (last.value.code === 0) tip = last.value.stdout.trim();
      const before = await beforeTask(git, fetched, wish.taskId, signal);
      if (!before.ok) return before;
      base = before.value;
    }
    return done({
      id,
      taskId: wish.taskId,
      runId: wish.runId,
      nodeId,
      status: 'active',
      repository: wish.repository.url,
      ref: fetched.ref,
      branch,
      baseCommit: base,
      tip,
      path: join(parts.directory, id),
      gitDir: fetched.gitDir,
      createdAt: clock.now(),
      completedAt: null,
      cleanupAt: null,
      removedAt: null,
    });
  };

  /** The pins keep the commits alive in the mirror when the other side's branches move away from them. */
  const furnish = async (workspace: Workspace, signal: AbortSignal): Promise<Result<void>> => {
    const { gitDir, tree, index, branch, baseCommit, tip, id, path } = workspace;
    const pins = `update ${pinOf(id)}/base ${baseCommit}\nupdate ${pinOf(id)}/start ${tip}\n`;
    const pinned = await git.run({ gitDir, args: ['update-ref', '--stdin'], input: pins }, signal);
    if (!pinned.ok) return pinned;
    const made = await checkouts.make(gitDir, tip, path, signal);
    if (!made.ok) return made;
    const given = await writeAgentGit(git, { tree, index, gitDir, branch, commit: tip }, signal);
    if (!given.ok) return given;
    // The last step: without this file a crash left it half made, and what is in it must not be taken for the agent's work.
    await writeFile(furnishedIn(path), '');
    return done(undefined);
  };

  const giveUp = async (record: WorkspaceRecord): Promise<void> => {
    await store.write((tx) => endWorkspace(tx, record.id, { status: 'error', completedAt: clock.now(), cleanupAt: clock.now() }));
    // Nothing of it has been used, so it does not matter that its run is live.
    if (await removeTree(record.path, parts, new AbortController().signal)) await forget(record);
  };

  const forget = async (record: WorkspaceRecord): Promise<void> => {
    const pins = ['base', 'start', 'work'].map((name) => `delete ${pinOf(record.id)}/${name}\n`).join('');
    await mirrors.ready(record.gitDir);
    // A mirror that is gone or damaged has no pins to lose.
    await git.run({ gitDir: record.gitDir, args: ['update-ref', '--stdin'], input: pins }, new AbortController().signal);
    await checkpoints.forget(record.id, record.gitDir);
    await store.write((tx) => markRemoved(tx, record.id, clock.now()));
  };

  const resume: Workspaces['resume'] = async (taskId, runId) => {
    const left = await listWorkspaces(store.read, { taskId, nodeId, statuses: ['active'] });
    for (const record of left.toReversed()) {
      if (record.runId !== runId && !(await store.write((tx) => takeOverWorkspace(tx, record.id, record.runId, runId)))) continue;
      const workspace = onDisk({ ...record, runId });
      if ((await isWhole(workspace)) && (await makeReady(workspace)).ok) return workspace;
      await close(record.id, 'error');
    }
    return undefined;
  };

  /** In turn, because somebody may be rewinding it, who found it free. */
  const makeReady = (workspace: Workspace): Promise<Result<void>> =>
    inTurn(workspace.id, async () => {
      await rm(`${workspace.index}.lock`, { force: true });
      await unlockAgentGit(workspace.tree);
      return bringBack(workspace);
    });

  /** Rewound before it is anybody's: after a crash in between it is simply done again. */
  const takeUp: Workspaces['takeUp'] = async (checkpoint, runId, taking, signal) => {
    const record = await findWorkspace(store.read, checkpoint.workspaceId);
    if (!record || !(await isWhole(onDisk(record)))) return done(undefined);
    const rewound = await checkpoints.rewind(checkpoint.runId, checkpoint.id, 'nightshift', signal);
    if (rewound.kind === 'failed') return { ok: false, failure: rewound.reason };
    if (rewound.kind !== 'rewound') return done(undefined);
    const taken = await store.write(async (tx) => {
      if (!(await reopenWorkspace(tx, record.id, runId, checkpoint.tip))) return false;
      await taking(tx);
      return true;
    });
    if (!taken) return done(undefined);
    const workspace = onDisk({ ...record, runId, status: 'active', tip: checkpoint.tip });
    const ready = await makeReady(workspace);
    return ready.ok ? done(workspace) : ready;
  };

  const changes: Workspaces['changes'] = (workspace, patchFile, signal) =>
    inTurn(workspace.id, async () => {
      const snapshot = await takeSnapshot(git, workspace, signal);
      if (!snapshot.ok) return snapshot;
      const { tree } = snapshot.value;
      const leftOut = snapshot.value.leftOut.map(readable);
      const found = await diff(git, { gitDir: workspace.gitDir, from: workspace.baseCommit, to: tree, patchFile }, signal);
      return found.ok ? done({ ...found.value, tree, leftOut }) : found;
    });

  const snapshot: Workspaces['snapshot'] = (workspace, signal, live = false) =>
    inTurn(workspace.id, async () => {
      const taken = await takeSnapshot(git, workspace, signal, { live });
      return taken.ok ? done({ tree: taken.value.tree, tooBig: taken.value.tooBig.map(readable) }) : taken;
    });

  const ignored: Workspaces['ignored'] = (workspace, signal) => inTurn(workspace.id, () => explainIgnored(git, workspace, signal));

  const swap: Workspaces['swap'] = (workspace, tree, signal) => inTurn(workspace.id, () => swapFiles(git, workspace, tree, signal));

  const preserve: Workspaces['preserve'] = async (workspace, tree, work, signal) => {
    const { gitDir, id } = workspace;
    // While other files stand in for the agent's, nothing but this keeps them.
    const pinned = await git.run({ gitDir, args: ['update-ref', `${pinOf(id)}/work`, tree] }, signal);
    if (!pinned.ok) return pinned;
    await setAside(workspace, { kind: 'files', tree });
    const [worked] = await Promise.allSettled([work()]);
    const back = await inTurn(id, () => bringBack(workspace, { allNew: true }));
    if (!back.ok) return back;
    if (worked.status === 'rejected') throw worked.reason;
    return done(worked.value);
  };

  /** Whoever called it off, and however it went: what was set aside comes back before anybody works on. */
  const bringBack = async (workspace: Workspace, { allNew } = { allNew: false }): Promise<Result<void>> => {
    const { signal } = new AbortController();
    await mirrors.ready(workspace.gitDir);
    const what = await whatIsSetAside(workspace);
    if (what?.kind === 'rewind') return checkpoints.finish(workspace, what.to, signal);
    const back = what ? await restoreFiles(git, workspace, what.tree, { allNew }, signal) : done(undefined);
    if (back.ok) await nothingSetAside(workspace);
    return back;
  };

  const commit: Workspaces['commit'] = (workspace, wish, signal) =>
    inTurn(workspace.id, async () => {
      const known = await findWorkspace(store.read, workspace.id);
      const committed = await commitAll(git, { ...workspace, tip: known?.tip ?? workspace.tip }, wish, signal);
      if (committed.ok) await store.write((tx) => setTip(tx, workspace.id, committed.value.commit));
      return committed;
    });

  const close = async (id: string, status: 'completed' | 'error'): Promise<void> => {
    const now = clock.now();
    const keepMs = status === 'completed' ? parts.keep.completedMs : parts.keep.errorMs;
    await store.write((tx) => endWorkspace(tx, id, { status, completedAt: now, cleanupAt: now + keepMs }));
  };

  const remove: Workspaces['remove'] = async (id, signal) => {
    const record = await findWorkspace(store.read, id);
    if (!record || record.status === 'removed') return 'not-found';
    if (record.nodeId !== nodeId) return 'elsewhere';
    if (!(await store.write((tx) => beginCleaning(tx, id, 'any')))) return 'busy';
    return (await clean(record, signal)) ? 'removed' : 'busy';
  };

  const clean = async (record: WorkspaceRecord, signal: AbortSignal): Promise<boolean> => {
    const gone = await turns.take(record.id, () => removeTree(record.path, parts, signal));
    if (gone) await forget(record);
    else if (!signal.aborted)
      log.warn({ workspaceId: record.id, path: record.path }, 'a workspace could not be removed; trying again at the next sweep');
    return gone;
  };

  const forgetTask: Workspaces['forgetTask'] = async (taskId, signal) => {
    const records = await listWorkspaces(store.read, { taskId, nodeId, statuses: workspaceStatuses });
    for (const { id } of records.filter(({ removedAt }) => removedAt === null)) {
      if ((await remove(id, signal)) === 'busy') return false;
    }
    for (const gitDir of new Set(records.map((record) => record.gitDir))) {
      const others = await listWorkspaces(store.read, { nodeId, gitDir, limit: 1 });
      if (others.length === 0 && !(await mirrors.drop(gitDir, signal))) return false;
    }
    return true;
  };

  const sweep: Workspaces['sweep'] = async (signal) => {
    const swept = { ended: 0, removed: 0, stray: 0, mirrors: 0, checkpoints: 0 };
    for (const { workspace, since, taskClosed, succeeded } of await abandonedWorkspaces(store.read, nodeId)) {
      // While its task is open, its next run may still take it over.
      if (!taskClosed && clock.now() - since < parts.keep.errorMs) continue;
      await close(workspace.id, succeeded ? 'completed' : 'error');
      swept.ended += 1;
    }
    for (const record of await dueForCleaning(store.read, nodeId, clock.now())) {
      if (signal.aborted) return swept;
      if (!(await store.write((tx) => beginCleaning(tx, record.id, 'ended')))) continue;
      if (await clean(record, signal)) swept.removed += 1;
    }
    swept.stray = await removeStray(signal);
    swept.checkpoints = await checkpoints.prune(signal);
    for (const gitDir of await mirrors.list()) {
      await mirrors.ready(gitDir);
      await checkpoints.sweepRefs(gitDir, signal);
    }
    swept.mirrors = await mirrors.maintain(
      async (gitDir) => (await listWorkspaces(store.read, { nodeId, gitDir, limit: 1 })).length > 0,
      signal,
    );
    return swept;
  };

  /** Directories that no row knows, as after a database was restored. Only what bears our name, and only when it is old. */
  const removeStray = async (signal: AbortSignal): Promise<number> => {
    let removed = 0;
    for (const name of await readdir(parts.directory).catch(() => [])) {
      if (!isId('workspace', name) || signal.aborted) continue;
      const record = await findWorkspace(store.read, name);
      if (record && record.status !== 'removed') continue;
      const path = join(parts.directory, name);
      const found = await lstat(path).catch(() => undefined);
      if (!found || clock.now() - found.mtimeMs < parts.keep.errorMs) continue;
      if (await removeTree(path, parts, signal)) removed += 1;
    }
    return removed;
  };

  const enoughSpace = async (): Promise<Result<void>> => {
    await mkdir(parts.directory, { recursive: true, mode: 0o700 });
    const found = await statfs(parts.directory).catch(() => undefined);
    const least = parts.minFreeBytes ?? defaultMinFree;
    if (!found || found.bavail * found.bsize >= least) return done(undefined);
    return refuse(
      'disk-full',
      `The disk of the server has less than ${Math.round(least / 1024 / 1024)} MB left, so no workspace is opened. Free some space; the task is tried again later.`,
      { retryable: true },
    );
  };

  const find = async (id: string): Promise<Workspace | undefined> => {
    const record = await findWorkspace(store.read, id);
    return record && onDisk(record);
  };

  const checkpoints = createCheckpoints({
    ...parts,
    policy: parts.checkpoints,
    ...(parts.checkpointBounds === undefined ? {} : { bounds: parts.checkpointBounds }),
    inTurn,
    onDisk: find,
    bringBack,
  });

  return {
    open,
    resume,
    takeUp,
    checkpoints,
    changes,
    snapshot,
    ignored,
    swap,
    preserve,
    commit,
    close,
    remove,
    forgetTask,
    sweep,
    find,
  };
}

const fullDiskCodes: readonly (string | undefined)[] = ['ENOSPC', 'EDQUOT'];

async function fullDiskAsFailure<T>(work: () => Promise<Result<T>>): Promise<Result<T>> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && fullDiskCodes.includes(String(error.code)))) throw error;
    return refuse('disk-full', 'The disk of the server is full. Free some space; the task is tried again later.', { retryable: true });
  }
}

const pinOf = (id: string): string => `refs/nightshift/workspaces/${id}`;

const onDisk = (record: WorkspaceRecord): Workspace => ({
  ...record,
  tree: treeOf(record.path),
  index: indexOf(record.path),
  objects: join(record.gitDir, 'objects'),
});

/** There, and still what it was: an agent without a sandbox may have put a link in its place. */
const furnishedIn = (path: string): string => join(path, 'furnished');

async function isWhole({ path, tree, index, gitDir }: Workspace): Promise<boolean> {
  const [found, ...files] = await Promise.all([
    lstat(tree).catch(() => undefined),
    stat(index).catch(() => undefined),
    stat(gitDir).catch(() => undefined),
    stat(furnishedIn(path)).catch(() => undefined),
  ]);
  return found?.isDirectory() === true && files.every((file) => file !== undefined);
}
