import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { failed, type Outcome } from '../domain/outcome.ts';
import type { Credentials } from '../gateway/credentials.ts';
import type { Gateway } from '../gateway/messages.ts';
import type { Clock } from '../platform/clock.ts';
import type { Command } from '../platform/subprocess.ts';
import type { Claim } from '../queue/queue.ts';
import { defaultLimits } from '../sandbox/profile.ts';
import type { Enclosure, Sandbox } from '../sandbox/sandbox.ts';
import { lastSession } from '../store/results.ts';
import type { Store } from '../store/store.ts';
import { type Limits, watchQuota } from '../workspace/quota.ts';
import { parseRepository } from '../workspace/repository.ts';
import type { Workspace, Workspaces } from '../workspace/workspaces.ts';
import { runMarker } from './clear-away.ts';
import { hasSession } from './engines/claude.ts';
import type { ConversationRequest } from './engines/engine.ts';

export interface PlaceParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly workspaces: Workspaces;
  /** Found out about when it is first asked for. */
  readonly sandbox: () => Promise<Sandbox>;
  /** The door to models; absent when no provider is set up. */
  readonly models: { readonly gateway: Gateway; readonly credentials: Credentials; readonly model: string | undefined } | undefined;
  readonly runsDirectory: string;
  readonly sessionsDirectory: string;
  /** Short, because a socket's path may have no more than 107 bytes. */
  readonly socketsDirectory: string;
  /** What a sandboxed program has to be able to read besides the system. */
  readonly readOnly: readonly string[];
  /** In the environment of everything a run starts, so that it can be found again. */
  readonly nodeMarker: Readonly<Record<string, string>>;
  readonly path: string;
  readonly quota: Limits;
}

/** Where a run works, with all that is around it. */
export interface Place {
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  readonly workspace: Workspace | undefined;
  /** Undefined where commands are started as they are. */
  readonly enclosure: Enclosure | undefined;
  readonly conversation: ConversationRequest | undefined;
  /** What a person should know about how it was prepared. */
  readonly notice: string | undefined;
  /** As the sandbox, if there is one, wants it started. */
  wrap(command: Command): { readonly ok: true; readonly command: Command } | { readonly ok: false; readonly outcome: Outcome };
  /** Takes everything down; the workspace stays as long as its policy says. Never throws for the world's doing. */
  leave(kept: 'completed' | 'error' | 'resumable'): Promise<void>;
}

export type Opened = { readonly ok: true; readonly place: Place } | { readonly ok: false; readonly outcome: Outcome };

/**
 * Prepares the place: a checkout when the task names a repository, a scratch directory otherwise; a sandbox around agents
 * and around whatever comes from a repository; a door to the models for agents. `exceeded` is told when the run takes
 * more than its share.
 */
export async function openPlace(
  parts: PlaceParts,
  claim: Claim,
  wants: { readonly models: boolean },
  exceeded: (outcome: Outcome) => void,
  onSession: (sessionId: string) => Promise<void>,
  signal: AbortSignal,
): Promise<Opened> {
  const { task, run } = claim;
  if (wants.models && !parts.models) {
    return {
      ok: false,
      outcome: {
        kind: 'needs-human',
        reason: {
          code: 'no-model',
          message: 'No model provider is set up. Set LLM_PROVIDER and LLM_API_KEY (or LLM_PROVIDER=rehearsal to try without), then retry.',
        },
      },
    };
  }
  const found = await openWorkspace(parts, claim, signal);
  if (!found.ok) return found;
  const { workspace, resumed } = found;
  const undo: (() => unknown)[] = [];
  const directory = workspace?.tree ?? join(parts.runsDirectory, run.id, 'work');
  await mkdir(directory, { recursive: true, mode: 0o700 });

  const socket = wants.models ? join(parts.socketsDirectory, `${run.id.slice(-10)}.sock`) : undefined;
  const sessionDirectory = join(parts.sessionsDirectory, task.id);
  if (wants.models) await mkdir(sessionDirectory, { recursive: true, mode: 0o700 });

  let enclosure: Enclosure | undefined;
  if (wants.models || workspace) {
    const opening = await (await parts.sandbox()).open(
      {
        workspace: directory,
        writable: wants.models ? [sessionDirectory] : [],
        home: { kind: 'memory', bytes: 256 * 2 ** 20 },
        tmp: { kind: 'memory', bytes: 512 * 2 ** 20 },
        readOnly: [...(workspace ? [workspace.objects] : []), ...parts.readOnly],
        sockets: socket === undefined ? [] : [socket],
        limits: defaultLimits,
      },
      task.trust,
    );
    if (!opening.ok) {
      if (workspace) await parts.workspaces.close(workspace.id, 'error');
      return { ok: false, outcome: { kind: 'needs-human', reason: opening.refusal } };
    }
    enclosure = opening.sandboxed ? opening : undefined;
    undo.push(() => opening.close());
    if (opening.sandboxed) undo.push(opening.guard((reason) => exceeded({ kind: 'failed', reason, retryable: false })));
  }
  const watch = watchQuota(directory, parts.quota, parts.clock, ({ exceeded: what }) =>
    exceeded(
      failed(
        'quota-exceeded',
        `The workspace holds more ${what ?? 'data'} than a run may: ${parts.quota.bytes} bytes, ${parts.quota.files} files.`,
      ),
    ),
  );
  undo.push(() => watch.stop());

  const conversation = await openConversation();
  return {
    ok: true,
    place: {
      directory,
      env: { PATH: parts.path, HOME: directory, LANG: 'C.UTF-8', NIGHTSHIFT_TASK_ID: task.id, [runMarker]: run.id, ...parts.nodeMarker },
      workspace,
      enclosure,
      conversation,
      notice:
        !workspace || !resumed
          ? undefined
          : conversation?.resume
            ? 'Goes on with the session of the run that was interrupted, in its workspace.'
            : 'Goes on in the workspace of the run that was interrupted, with a new session.',
      wrap(command) {
        const wrapped = enclosure?.wrap(command) ?? { ok: true as const, command };
        return wrapped.ok ? wrapped : { ok: false, outcome: { kind: 'failed', reason: wrapped.refusal, retryable: false } };
      },
      async leave(kept) {
        for (const step of undo.toReversed()) await step();
        if (workspace && kept !== 'resumable') await parts.workspaces.close(workspace.id, kept);
        if (wants.models && kept !== 'resumable') await rm(sessionDirectory, { recursive: true, force: true });
      },
    },
  };

  async function openConversation(): Promise<ConversationRequest | undefined> {
    const { models } = parts;
    if (!models || socket === undefined) return undefined;
    await mkdir(parts.socketsDirectory, { recursive: true, mode: 0o700 });
    const credential = models.credentials.issue(run.id);
    const door = await models.gateway.listen(socket, run.id);
    undo.push(() => {
      models.credentials.revoke(run.id);
      return door.close();
    });
    const session = resumed ? await lastSession(parts.store.read, task.id) : null;
    const resume = session !== null && (await hasSession(sessionDirectory, session)) ? session : undefined;
    return {
      model: {
        baseUrl: 'http://localhost',
        socket,
        credential,
        ...(models.model === undefined ? {} : { name: models.model, lightName: models.model }),
      },
      sessionDirectory,
      ...(resume === undefined ? {} : { resume }),
      onSession,
    };
  }
}

async function openWorkspace(
  { workspaces }: PlaceParts,
  { task, run }: Claim,
  signal: AbortSignal,
): Promise<
  | { readonly ok: true; readonly workspace: Workspace | undefined; readonly resumed: boolean }
  | { readonly ok: false; readonly outcome: Outcome }
> {
  if (task.repository === null) return { ok: true, workspace: undefined, resumed: false };
  const left = await workspaces.resume(task.id, run.id);
  if (left) return { ok: true, workspace: left, resumed: true };
  const repository = parseRepository(task.repository, { local: task.trust === 'owner' });
  if (!repository.ok) return { ok: false, outcome: failureOutcome(repository.failure) };
  const opened = await workspaces.open(
    { taskId: task.id, runId: run.id, title: task.title, repository: repository.value, ref: task.ref },
    signal,
  );
  return opened.ok ? { ok: true, workspace: opened.value, resumed: false } : { ok: false, outcome: failureOutcome(opened.failure) };
}

export const failureOutcome = (failure: { readonly code: string; readonly message: string; readonly retryable: boolean }): Outcome =>
  failed(failure.code, failure.message, failure.retryable);
