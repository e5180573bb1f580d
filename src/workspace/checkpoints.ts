import { type Checkpoint, type CheckpointPolicy, type Rewinding, surplus } from '../domain/checkpoint.ts';
import type { NewEvent } from '../domain/event.ts';
import { idPrefixes } from '../domain/id.ts';
import { isRunOver } from '../domain/run.ts';
import type { Clock } from '../platform/clock.ts';
import type { NewId } from '../platform/ids.ts';
import {
  checkpointsOfRun,
  checkpointsOfWorkspace,
  deleteCheckpoints,
  findCheckpoint,
  insertCheckpoint,
  knownCheckpoints,
  workspacesWithCheckpoints,
} from '../store/checkpoints.ts';
import { append } from '../store/journal.ts';
import { findRun } from '../store/runs.ts';
import type { Store } from '../store/store.ts';
import { findWorkspace } from '../store/workspaces.ts';
import { type Bounds, emptyTree, type Files, putFiles, sameFiles, type Taken, takeFiles } from './checkpoint.ts';
import { done, type Failure, type Result, refuse } from './failure.ts';
import type { Git } from './git.ts';
import { nothingSetAside, setAside, whatIsSetAside } from './set-aside.ts';
import type { Workspace } from './workspace.ts';

export type CheckpointWish = Pick<Checkpoint, 'kind' | 'note' | 'session' | 'gates'>;

/** How it went, with all that is known of a failure. */
type RewoundHere = Exclude<Rewinding, { kind: 'failed' }> | { readonly kind: 'failed'; readonly reason: Failure };

/**
 * Points that a run can go back to. Each is a tree under a ref of the mirror, which no agent can write and nothing pushes, and
 * a row. The ref comes before the row and goes after it, so a row always has its ref; a ref without a row is swept.
 */
export interface Checkpoints {
  /** Keeps the files as they are. Somebody may be at work among them. */
  keep(workspace: Workspace, wish: CheckpointWish, signal: AbortSignal): Promise<Result<Checkpoint>>;
  /** Puts the files back to what they were, and keeps those that it replaces. Refused while a run is at work among them. */
  rewind(runId: string, checkpointId: string, by: string, signal: AbortSignal): Promise<RewoundHere>;
  /** Finishes a rewind that was cut short. */
  finish(workspace: Workspace, wanted: Files, signal: AbortSignal): Promise<Result<void>>;
  /** Of a workspace that is no more. */
  forget(workspaceId: string, gitDir: string): Promise<void>;
  /** Removes those that have had their time. */
  prune(signal: AbortSignal): Promise<number>;
  /** Removes refs of checkpoints that were never finished, from one mirror. */
  sweepRefs(gitDir: string, signal: AbortSignal): Promise<void>;
}

export interface CheckpointsParts {
  readonly store: Store;
  readonly git: Git;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly nodeId: string;
  readonly policy: CheckpointPolicy;
  readonly bounds?: Bounds;
  /** Nobody else touches the workspace meanwhile. */
  readonly inTurn: <T>(workspaceId: string, work: () => Promise<Result<T>>) => Promise<Result<T>>;
  readonly onDisk: (workspaceId: string) => Promise<Workspace | undefined>;
  /** What was set aside and never brought back, is. */
  readonly bringBack: (workspace: Workspace) => Promise<Result<void>>;
}

/** A place that does not come to rest in so many turns is being changed by somebody. */
const rewindTurns = 4;
const refsHome = 'refs/nightshift/checkpoints';
const refOf = ({ runId, number }: Pick<Checkpoint, 'runId' | 'number'>): string => `${refsHome}/${runId}/${number}`;

export function createCheckpoints(parts: CheckpointsParts): Checkpoints {
  const { store, git, clock, nodeId, policy } = parts;
  const bounds = parts.bounds === undefined ? {} : { bounds: parts.bounds };
  /** Refs whose row is being written. */
  const making = new Set<string>();

  const keep: Checkpoints['keep'] = (workspace, wish, signal) =>
    parts.inTurn(workspace.id, async () => {
      const taken = await takeFiles(git, workspace, { live: true, ...bounds }, signal);
      return taken.ok ? write(workspace, wish, taken.value, signal) : taken;
    });

  const write = async (workspace: Workspace, wish: CheckpointWish, taken: Taken, signal: AbortSignal): Promise<Result<Checkpoint>> => {
    const { id: workspaceId, taskId, gitDir } = workspace;
    const current = await findWorkspace(store.read, workspaceId);
    const runId = current?.runId ?? workspace.runId;
    const earlier = await checkpointsOfRun(store.read, runId);
    const checkpoint: Checkpoint = {
      ...wish,
      id: parts.newId(idPrefixes.checkpoint),
      taskId,
      runId,
      number: (earlier.at(-1)?.number ?? 0) + 1,
      workspaceId,
      files: taken.files,
      ignored: taken.ignored,
      tooBig: taken.tooBig,
      tip: current?.tip ?? workspace.tip,
      at: clock.now(),
    };
    const ref = refOf(checkpoint);
    making.add(ref);
    try {
      const pinned = await pin(workspace, ref, taken, signal);
      if (!pinned.ok) return pinned;
      const { id, number, kind, note } = checkpoint;
      const event: NewEvent = { type: 'run.checkpoint', data: { checkpoint: id, number, kind, note }, taskId, runId };
      await store.write(async (tx) => {
        await insertCheckpoint(tx, checkpoint);
        await append(tx, [event], clock.now());
      });
    } finally {
      making.delete(ref);
    }
    await remove(surplus([...earlier, checkpoint], policy, clock.now()), [...earlier], gitDir);
    return done(checkpoint);
  };

  const pin = async (workspace: Workspace, ref: string, { files, ignored }: Files, signal: AbortSignal): Promise<Result<unknown>> => {
    const { gitDir } = workspace;
    const entries = [
      `040000 tree ${files}\tfiles`,
      ...(ignored === null || ignored === emptyTree(workspace) ? [] : [`040000 tree ${ignored}\tignored`]),
    ];
    const tree = await git.run({ gitDir, args: ['mktree'], input: `${entries.join('\n')}\n` }, signal);
    if (!tree.ok) return tree;
    return git.run({ gitDir, args: ['update-ref', ref, tree.value.stdout.trim()] }, signal);
  };

  /** A mirror that is gone or damaged has no refs to lose. */
  const unpin = async (gitDir: string, refs: readonly string[]): Promise<void> => {
    if (refs.length === 0) return;
    const input = refs.map((ref) => `delete ${ref}\n`).join('');
    await git.run({ gitDir, args: ['update-ref', '--stdin'], input }, new AbortController().signal);
  };

  const remove = async (ids: readonly string[], among: readonly Checkpoint[], gitDir: string): Promise<void> => {
    if (ids.length === 0) return;
    await store.write((tx) => deleteCheckpoints(tx, ids));
    await unpin(gitDir, among.filter(({ id }) => ids.includes(id)).map(refOf));
  };

  const rewind: Checkpoints['rewind'] = async (runId, checkpointId, by, signal) => {
    const checkpoint = await findCheckpoint(store.read, checkpointId);
    if (!checkpoint || checkpoint.runId !== runId) return { kind: 'not-found' };
    const workspace = await parts.onDisk(checkpoint.workspaceId);
    if (!workspace) return { kind: 'not-found' };
    if (workspace.nodeId !== nodeId) return { kind: 'elsewhere' };
    const rewound = await parts.inTurn<Checkpoint | null | 'busy'>(workspace.id, async () => {
      if (!(await isFree(workspace.id))) return done('busy');
      return putBack(workspace, checkpoint, by, signal);
    });
    if (!rewound.ok) return { kind: 'failed', reason: rewound.failure };
    return rewound.value === 'busy' ? { kind: 'busy' } : { kind: 'rewound', checkpoint, before: rewound.value };
  };

  /** Asked within the turn: whoever takes the workspace over waits for that to end before the run begins. */
  const isFree = async (workspaceId: string): Promise<boolean> => {
    const record = await findWorkspace(store.read, workspaceId);
    if (!record || !['active', 'completed', 'error'].includes(record.status)) return false;
    const run = await findRun(store.read, record.runId);
    return run !== undefined && isRunOver(run.status);
  };

  const putBack = async (workspace: Workspace, to: Checkpoint, by: string, signal: AbortSignal): Promise<Result<Checkpoint | null>> => {
    // What lies there since the server died is not what comes back now, and somebody may have looked and mended something.
    if ((await whatIsSetAside(workspace))?.kind === 'files') {
      const taken = await takeFiles(git, workspace, { live: false, ...bounds }, signal);
      if (!taken.ok) return taken;
      const kept = await replace(workspace, 'Before the files came back that the gates had set aside.', signal)(taken.value);
      if (!kept.ok) return kept;
    }
    const back = await parts.bringBack(workspace);
    if (!back.ok) return back;
    let before: Checkpoint | null = null;
    const keepFirst = async (taken: Taken): Promise<Result<unknown>> => {
      const kept = await replace(workspace, `Before the rewind to checkpoint ${to.number}.`, signal)(taken);
      if (kept.ok) before ??= kept.value;
      return kept;
    };
    const settled = await settleAt(workspace, to, { leave: [], keepFirst }, signal);
    if (!settled.ok) return settled;
    const runId = (await findWorkspace(store.read, workspace.id))?.runId ?? workspace.runId;
    const replaced = before as Checkpoint | null;
    const event: NewEvent = {
      type: 'run.rewound',
      data: { checkpoint: to.id, before: replaced?.id ?? null, by },
      taskId: workspace.taskId,
      runId,
    };
    await store.write((tx) => append(tx, [event], clock.now()));
    return done(replaced);
  };

  const replace =
    (workspace: Workspace, note: string, signal: AbortSignal) =>
    (taken: Taken): Promise<Result<Checkpoint>> =>
      write(workspace, { kind: 'rewind', note, session: null, gates: [] }, taken, signal);

  /**
   * What is put back can bring another .gitignore with it, by which more is to be seen: so this looks again, and keeps what it
   * finds before it takes it away, until the files are the ones that are wanted. What could not be kept at first is left alone
   * then too: packages that are ignored no longer are no work of the moment that comes back, and would fill a checkpoint.
   */
  const settleAt = async (
    workspace: Workspace,
    wanted: Files,
    { leave, keepFirst }: { readonly leave: readonly string[]; readonly keepFirst: (taken: Taken) => Promise<Result<unknown>> },
    signal: AbortSignal,
  ): Promise<Result<void>> => {
    let to = wanted;
    for (let turn = 1; turn <= rewindTurns; turn++) {
      const now = await takeFiles(git, workspace, { live: false, leave: turn === 1 ? leave : to.tooBig, ...bounds }, signal);
      if (!now.ok) return now;
      if (sameFiles(now.value, to)) {
        await nothingSetAside(workspace);
        return done(undefined);
      }
      const next = { ...to, tooBig: [...new Set([...to.tooBig, ...now.value.leftOut])] };
      const begin = async (): Promise<Result<unknown>> => {
        const kept = await keepFirst(now.value);
        if (kept.ok) await setAside(workspace, { kind: 'rewind', to: next });
        return kept;
      };
      const put = await putFiles(git, workspace, { now: now.value, wanted: next, begin }, signal);
      if (!put.ok) return put;
      to = put.value;
    }
    return refuse('conflict', 'The files do not stay as they are put: something is at work among them. Stop it, then try again.');
  };

  return {
    keep,
    rewind,
    finish(workspace, wanted, signal) {
      const keepFirst = replace(workspace, 'Before a rewind was finished that had been cut short.', signal);
      return settleAt(workspace, wanted, { leave: wanted.tooBig, keepFirst }, signal);
    },
    async forget(workspaceId, gitDir) {
      const all = await checkpointsOfWorkspace(store.read, workspaceId);
      await remove(
        all.map(({ id }) => id),
        all,
        gitDir,
      );
    },
    async prune(signal) {
      let removed = 0;
      for (const workspaceId of await workspacesWithCheckpoints(store.read, nodeId)) {
        if (signal.aborted) return removed;
        const workspace = await findWorkspace(store.read, workspaceId);
        const all = await checkpointsOfWorkspace(store.read, workspaceId);
        const ids = [...Map.groupBy(all, ({ runId }) => runId).values()].flatMap((ofRun) => surplus(ofRun, policy, clock.now()));
        await remove(ids, all, workspace?.gitDir ?? '');
        removed += ids.length;
      }
      return removed;
    },
    async sweepRefs(gitDir, signal) {
      const listed = await git.run({ gitDir, args: ['for-each-ref', '--format=%(refname)', refsHome] }, signal);
      if (!listed.ok) return;
      const refs = listed.value.stdout.split('\n').filter((ref) => ref !== '' && !making.has(ref));
      const places = refs.map((ref) => ref.slice(refsHome.length + 1));
      const known = await knownCheckpoints(store.read, [...new Set(places.map((place) => place.split('/')[0] as string))]);
      await unpin(
        gitDir,
        refs.filter((_, index) => !known.has(places[index] as string)),
      );
    },
  };
}
