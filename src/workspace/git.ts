import { existsSync } from 'node:fs';
import type { Clock } from '../platform/clock.ts';
import { type RunningCommand, start } from '../platform/subprocess.ts';
import { done, type Result, refuse } from './failure.ts';
import { explain, tidyMessage } from './git-failure.ts';

export interface GitCall {
  readonly args: readonly string[];
  readonly gitDir?: string;
  readonly workTree?: string;
  readonly index?: string;
  readonly input?: string | Uint8Array;
  /** `latin1` keeps every byte of names that are not UTF-8. */
  readonly encoding?: 'utf8' | 'latin1';
  readonly env?: Readonly<Record<string, string>>;
  /** Without one git can reach no other repository, neither over a network nor on this machine. */
  readonly transport?: Transport;
  /** Exit codes that are answers rather than failures. */
  readonly answers?: readonly number[];
  readonly timeoutMs?: number;
  /** How people know the repository; failures name it. */
  readonly subject?: string;
}

/** How git reaches another repository for one call. */
export interface Transport {
  /** In git's words, separated by colons. */
  readonly protocols: string;
  readonly env: Readonly<Record<string, string>>;
  /** Takes secrets out of whatever git says. */
  readonly redact: (text: string) => string;
}

export interface GitAnswer {
  readonly code: number;
  readonly stdout: string;
}

/**
 * Runs git, and never rejects for what git or the world did. The git directory is always one that Nightshift made and
 * that no agent can write, so no configuration, hook, filter or driver of a repository or of an agent is ever in force.
 */
export interface Git {
  run(call: GitCall, signal: AbortSignal): Promise<Result<GitAnswer>>;
  /** For outputs without bounds: `take` gets them piece by piece, and git waits for it. `false` means enough: git is stopped. */
  stream(call: GitCall, take: (piece: Buffer) => Promise<boolean>, signal: AbortSignal): Promise<Result<GitAnswer>>;
}

export interface GitParts {
  readonly clock: Clock;
  readonly path: string;
  /** Added to git's environment: the node's marker, a proxy, a file of certificates. Nothing else is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly program?: string;
}

/** As long as a step on this machine may take, and one that moves data over a network. */
const localTimeoutMs = 10 * 60_000;
const transferTimeoutMs = 60 * 60_000;
const outputLimit = 64 * 1024 * 1024;
const complaintLimit = 256 * 1024;

const environment: Readonly<Record<string, string>> = {
  LC_ALL: 'C',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_ATTR_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_ASKPASS: 'false',
  SSH_ASKPASS: 'false',
  GIT_EDITOR: 'false',
  GIT_SEQUENCE_EDITOR: 'false',
  GIT_PAGER: 'cat',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_NO_REPLACE_OBJECTS: '1',
  GIT_NO_LAZY_FETCH: '1',
  GIT_LITERAL_PATHSPECS: '1',
  GIT_MERGE_AUTOEDIT: 'no',
};

/** Settings of the command line win over those of any file. */
const settings: Readonly<Record<string, string>> = {
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'core.pager': 'cat',
  'core.attributesFile': '/dev/null',
  'core.excludesFile': '/dev/null',
  'core.protectHFS': 'true',
  'core.protectNTFS': 'true',
  'core.symlinks': 'true',
  'core.fileMode': 'true',
  'core.autocrlf': 'false',
  'core.quotePath': 'false',
  'core.logAllRefUpdates': 'false',
  // A result commit that has been reported must be there after a power cut.
  'core.fsync': 'committed,loose-object',
  'core.fsyncMethod': 'batch',
  'credential.helper': '',
  'diff.ignoreSubmodules': 'all',
  'submodule.recurse': 'false',
  'fetch.recurseSubmodules': 'false',
  'push.recurseSubmodules': 'no',
  'gc.auto': '0',
  'maintenance.auto': 'false',
  'commit.gpgSign': 'false',
  'tag.gpgSign': 'false',
  'push.gpgSign': 'false',
  'log.showSignature': 'false',
  'protocol.version': '2',
  // A name that is looked for at a host must not be asked of another one.
  'http.followRedirects': 'initial',
  'http.lowSpeedLimit': '1000',
  'http.lowSpeedTime': '60',
  'checkout.workers': '0',
  'checkout.thresholdForParallelism': '1000',
};

export function createGit(parts: GitParts): Git {
  const fixed = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const program = parts.program ?? 'git';

  const launch = (call: GitCall, signal: AbortSignal): RunningCommand =>
    start(
      {
        argv: [program, ...fixed, ...call.args],
        cwd: call.workTree ?? '/',
        env: {
          ...parts.env,
          ...environment,
          PATH: parts.path,
          GIT_ALLOW_PROTOCOL: call.transport?.protocols ?? 'none',
          ...call.transport?.env,
          ...call.env,
          ...(call.gitDir === undefined ? {} : { GIT_DIR: call.gitDir }),
          ...(call.workTree === undefined ? {} : { GIT_WORK_TREE: call.workTree }),
          ...(call.index === undefined ? {} : { GIT_INDEX_FILE: call.index }),
        },
        ...(call.input === undefined ? {} : { input: call.input }),
      },
      parts.clock,
      signal,
    );

  const stream: Git['stream'] = async (call, take, stop) => {
    const redact = call.transport?.redact ?? ((text: string) => text);
    const what = `git ${call.args[0]}`;
    if (stop.aborted) return refuse('cancelled', `${what} was called off.`);
    const ending = new AbortController();
    const limitMs = call.timeoutMs ?? (call.transport ? transferTimeoutMs : localTimeoutMs);
    const cancelTimeout = parts.clock.after(limitMs, () => ending.abort('timeout'));
    const command = launch(call, AbortSignal.any([stop, ending.signal]));
    const complaint: Buffer[] = [];
    const [, , exit] = await Promise.all([
      drain(command.stdout, async (piece) => {
        if (!ending.signal.aborted && !(await take(piece))) ending.abort('enough');
      }),
      drain(command.stderr, keepUpTo(complaintLimit, complaint)),
      command.exit,
    ]).finally(cancelTimeout);

    const said = redact(Buffer.concat(complaint).toString());
    if (exit.kind === 'exited' && (call.answers ?? [0]).includes(exit.code)) return done({ code: exit.code, stdout: '' });
    if (ending.signal.reason === 'enough') return done({ code: -1, stdout: '' });
    if (stop.aborted) return refuse('cancelled', `${what} was called off.`);
    if (ending.signal.aborted) {
      return refuse(
        'timeout',
        `${what} took longer than ${Math.round(limitMs / 1_000)} seconds and was stopped. It is tried again later.`,
        {
          retryable: true,
          detail: tidyMessage(said),
        },
      );
    }
    if (exit.kind === 'not-started') {
      if (call.workTree !== undefined && !existsSync(call.workTree)) {
        return refuse('workspace-gone', 'The workspace is no longer on disk. Its run starts over in a new one.', { retryable: true });
      }
      if (exit.host) return refuse('host-unfit', `This machine could not start git: ${exit.message}.`, { retryable: true });
      return refuse('git-missing', `git could not be started (${exit.message}). Install git 2.39.4 or newer on the server.`);
    }
    return { ok: false, failure: explain(what, said, exit, call.subject) };
  };

  return {
    stream,
    async run(call, signal) {
      const pieces: Buffer[] = [];
      let size = 0;
      const outcome = await stream(
        call,
        async (piece) => {
          size += piece.length;
          if (size <= outputLimit) pieces.push(piece);
          return size <= outputLimit;
        },
        signal,
      );
      if (!outcome.ok) return outcome;
      if (size > outputLimit) return refuse('output-too-large', `git ${call.args[0]} printed more than ${outputLimit} bytes.`);
      return done({ code: outcome.value.code, stdout: Buffer.concat(pieces).toString(call.encoding ?? 'utf8') });
    },
  };
}

async function drain(output: AsyncIterable<Buffer>, take: (piece: Buffer) => Promise<void> | void): Promise<void> {
  for await (const piece of output) await take(piece);
}

function keepUpTo(limit: number, pieces: Buffer[]): (piece: Buffer) => void {
  let size = 0;
  return (piece) => {
    if (size < limit) pieces.push(piece);
    size += piece.length;
  };
}
