import { stripVTControlCharacters } from 'node:util';
import type { Exit } from '../platform/subprocess.ts';
import type { Failure, FailureCode } from './failure.ts';

interface Sign {
  readonly pattern: RegExp;
  readonly code: FailureCode;
  readonly message: (subject: string) => string;
  readonly retryable?: true;
}

/** What git says (in the C locale), and what it means. The first that matches counts, so the special stand before the general. */
const signs: readonly Sign[] = [
  {
    pattern: /Resource temporarily unavailable|Cannot allocate memory|Out of memory|Too many open files/i,
    code: 'host-unfit',
    message: () => 'This machine was out of processes, memory or descriptors for git.',
    retryable: true,
  },
  {
    pattern: /No space left on device|Disk quota exceeded|unable to write .*: No space/i,
    code: 'disk-full',
    message: () => 'The disk of the server is full. Free some space; the task is tried again later.',
    retryable: true,
  },
  {
    pattern: /GH006|GH013|protected branch|TF402455|You are not allowed to push code to protected|branch is protected/i,
    code: 'protected-branch',
    message: (subject) =>
      `${subject} refused the push: the branch is protected. Let Nightshift push to branches of its own, or open a pull request.`,
  },
  {
    pattern:
      /\(stale info\)|\(fetch first\)|\(non-fast-forward\)|cannot lock ref .* (?:is at|but expected)|failed to update ref|reference already exists/i,
    code: 'non-fast-forward',
    message: (subject) =>
      `The branch in ${subject} holds commits that this run does not know, so nothing was pushed. Merge or remove them, then retry the task.`,
  },
  {
    pattern: /hook declined|\[remote rejected\]/i,
    code: 'refused-by-hook',
    message: (subject) => `${subject} refused the push; its reason stands in the details. Meet it, then retry the task.`,
  },
  {
    pattern: /Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED/i,
    code: 'host-key-unknown',
    message: (subject) =>
      `The host of ${subject} shows a key that is not the known one. Check it, then put it into the server's known_hosts file.`,
  },
  {
    pattern:
      /Authentication failed|could not read (?:Username|Password)|terminal prompts disabled|Permission denied \(|The requested URL returned error: 40[13]|unable to read askpass|HTTP Basic: Access denied|Write access to repository not granted|Permission to .* denied|not permitted to access|Invalid username or (?:password|token)/i,
    code: 'auth-failed',
    message: (subject) =>
      `${subject} asks for credentials, or refuses those it got. Give the server a token for that host that may read the repository (and write it, if results are to be pushed).`,
  },
  {
    pattern:
      /couldn't find remote ref|no such remote ref|not our ref|Server does not allow request for unadvertised object|unadvertised object/i,
    code: 'no-such-ref',
    message: (subject) => `${subject} has no such branch, tag or commit. Correct the task's ref.`,
  },
  {
    pattern: /dubious ownership/i,
    code: 'auth-failed',
    message: (subject) => `${subject} belongs to another user of this machine, so git refuses to read it.`,
  },
  {
    pattern:
      /repository .* not found|Repository not found|does not appear to be a git repository|project you were looking for could not be found|The requested URL returned error: 404|not found: did you run git update-server-info/i,
    code: 'repository-not-found',
    message: (subject) => `There is no repository at ${subject}, or the server's token may not see it. Check the address.`,
  },
  {
    pattern:
      /Could not resolve host|Couldn't connect|Failed to connect|Connection (?:refused|timed out|reset|closed)|Operation timed out|No route to host|Network is unreachable|unable to access .*: (?:The requested URL returned error: 5|.*SSL|.*TLS|.*transfer|Empty reply|Recv failure|Send failure|GnuTLS|OpenSSL|Operation too slow)|The requested URL returned error: (?:5\d\d|429|408)|early EOF|unexpected disconnect|RPC failed|the remote end hung up|index-pack failed|invalid index-pack output|kex_exchange_identification|ssh: connect to host/i,
    code: 'network',
    message: (subject) => `${subject} could not be reached, or the connection broke. It is tried again later.`,
    retryable: true,
  },
  {
    pattern: /refusing to merge unrelated histories/i,
    code: 'unrelated-histories',
    message: () => 'The two histories have no commit in common, so they cannot be combined.',
  },
  {
    pattern:
      /invalid path|unable to create file|refusing to create malformed|File name too long|would be overwritten|untracked working tree/i,
    code: 'unsafe-content',
    message: (subject) =>
      `A commit of ${subject} holds a path that cannot be put on disk safely; the details name it. Remove it from the repository.`,
  },
  {
    pattern:
      /object file .* is empty|loose object .* is corrupt|is corrupt|packfile .* (?:does not match index|cannot be accessed)|bad object|missing (?:blob|tree|commit)|inflate: data stream error|unable to read (?:tree|sha1 file|object)|not a git repository|bad (?:signature|config)|could not read [0-9a-f]{40}|Could not read [0-9a-f]{40}|garbage at end of loose|broken refs|cannot be used|pack has bad|bad pack header|did not send all necessary objects|hash mismatch|bad index|unable to find [0-9a-f]{40}/i,
    code: 'mirror-corrupt',
    message: (subject) => `The server's own copy of ${subject} is damaged. It is fetched anew.`,
    retryable: true,
  },
];

export function explain(what: string, words: string, exit: Exclude<Exit, { kind: 'not-started' }>, subject?: string): Failure {
  const detail = tidyMessage(words);
  const said = words.split('\n').map(abridged).join('\n');
  // A remote may say anything, but it cannot know the state of our own disk.
  const own = said.replaceAll(/^remote:.*$/gm, '');
  const sign = signs.find(({ pattern, code }) => pattern.test(ownMatters.includes(code) ? own : said));
  if (sign) {
    const subjectName = subject ?? 'The repository';
    return {
      code: sign.code,
      message: sign.message(subjectName),
      retryable: sign.retryable ?? false,
      ...(detail === '' ? {} : { detail }),
    };
  }
  const how = exit.kind === 'exited' ? `ended with ${exit.code}` : `was killed (${exit.signal})`;
  const last = detail.split('\n').findLast((line) => /^(?:fatal|error):/.test(line)) ?? detail.split('\n').at(-1) ?? '';
  return {
    code: 'git-failed',
    message: `${what} ${how}${last === '' ? '' : `: ${last}`}`,
    retryable: exit.kind === 'killed',
    ...(detail === '' ? {} : { detail }),
  };
}

const longestLine = 4_000;

/** Looking for signs takes the square of a line's length, and a remote may send one without end. */
const abridged = (line: string): string =>
  line.length <= longestLine ? line : `${line.slice(0, longestLine / 2)}…${line.slice(-longestLine / 2)}`;

const ownMatters: readonly FailureCode[] = ['host-unfit', 'disk-full', 'mirror-corrupt', 'unsafe-content'];

const page = 4_000;

/** Fit to be stored and shown: no control sequences (a remote may send any), no progress, at most a page, its end kept. */
export function tidyMessage(said: string): string {
  const lines = stripVTControlCharacters(said)
    .replaceAll(/\r(?!\n)/g, '\n')
    .replaceAll(/[^\P{Cc}\n\t]/gu, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^hint:/.test(line));
  const text = lines.join('\n');
  return text.length > page ? `…${text.slice(-page)}` : text;
}
