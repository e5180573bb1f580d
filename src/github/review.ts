import type { ReviewComment } from '../domain/review.ts';
import { type Answer, at, type Call, type Failure, repo } from './client.ts';
import { code, oneLine, plain } from './markdown.ts';
import type { ChangedFile } from './payload.ts';
import { readFiles } from './thread.ts';

type ReviewEvent = 'COMMENT' | 'REQUEST_CHANGES' | 'APPROVE';

/** A review of a pull request, as it stands in the outbox. */
export interface ReviewMessage {
  readonly type: 'review';
  readonly repository: string;
  readonly number: number;
  /** What was looked at. Line numbers mean lines of it, and say nothing of any other. */
  readonly commit: string | null;
  readonly event: ReviewEvent;
  readonly text: string;
  readonly comments: readonly ReviewComment[];
}

type Ask = (request: Call) => Promise<Answer>;

/** More would bury the pull request; the rest is said in the review itself. */
const mostComments = 50;

/**
 * One call, so that there is all of it or nothing. GitHub refuses a whole review for one line that is not in the change, so
 * what is about such a line is said in its text. What it refuses all the same, because nobody may judge their own pull request
 * or because the change is another by now, is said more modestly.
 */
export async function sendReview(ask: Ask, mark: string, message: ReviewMessage, longest: number): Promise<Answer> {
  const placed = await place(ask, message);
  if ('kind' in placed) return placed;
  const path = repo(message.repository) + at`/pulls/${message.number}/reviews`;
  const inText = { on: [], beside: message.comments };
  const ways = [
    { event: message.event, ...placed },
    { event: 'COMMENT' as const, ...placed },
    { event: 'COMMENT' as const, ...inText },
  ].filter(({ event, on }, index, all) => index === 0 || event !== all[index - 1]?.event || on.length !== all[index - 1]?.on.length);
  let answer: Answer = { kind: 'refused', status: 422, message: 'There is nothing to say.' };
  for (const { event, on, beside } of ways) {
    const body = mark + [message.text, ...besideThe(beside)].join('\n\n');
    const comments = on.map(lineComment);
    const commit = comments.length > 0 && message.commit !== null ? { commit_id: message.commit } : {};
    answer = await ask({ method: 'POST', path, body: { event, body: body.slice(0, longest).toWellFormed(), comments, ...commit } });
    if (answer.kind !== 'refused' || answer.status !== 422) return answer;
  }
  return answer;
}

interface Placed {
  readonly on: readonly ReviewComment[];
  readonly beside: readonly ReviewComment[];
}

/** Which comments can stand at their lines: those about lines that the pull request shows, while it is what was looked at. */
async function place(ask: Ask, { repository, number, commit, comments }: ReviewMessage): Promise<Placed | Failure> {
  if (comments.length === 0) return { on: [], beside: [] };
  const read = (path: string): Promise<Answer> => ask({ method: 'GET', path });
  const pull = await read(repo(repository) + at`/pulls/${number}`);
  if (pull.kind !== 'ok') return pull;
  const head = (pull.body as { head?: { sha?: unknown } } | null)?.head?.sha;
  if (commit === null || head !== commit) return { on: [], beside: comments };
  const files = await readFiles(read, repository, number);
  if (files.kind !== 'ok') return files;
  const shown = new Map(files.files.map((file) => [file.filename, linesIn(file)]));
  const fits = ({ path, line, startLine = line, side }: ReviewComment): boolean => {
    const hunk = shown.get(path)?.[side].get(line);
    return hunk !== undefined && shown.get(path)?.[side].get(startLine) === hunk;
  };
  const on = comments.filter(fits).slice(0, mostComments);
  return { on, beside: comments.filter((comment) => !on.includes(comment)) };
}

/** By side, the lines that a patch shows, each with the number of its hunk: a comment cannot reach from one into another. */
export function linesIn({ patch }: Pick<ChangedFile, 'patch'>): Readonly<Record<ReviewComment['side'], ReadonlyMap<number, number>>> {
  const shown = { old: new Map<number, number>(), new: new Map<number, number>() };
  let [before, after, hunk] = [0, 0, 0];
  for (const line of patch.split('\n')) {
    const begin = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(line);
    if (begin) {
      [before, after, hunk] = [Number(begin[1]), Number(begin[2]), hunk + 1];
    } else if (hunk > 0 && /^[ +-]/.test(line)) {
      if (!line.startsWith('+')) shown.old.set(before++, hunk);
      if (!line.startsWith('-')) shown.new.set(after++, hunk);
    }
  }
  return shown;
}

function lineComment({ path, line, startLine, side, text }: ReviewComment): Record<string, unknown> {
  const on = side === 'new' ? 'RIGHT' : 'LEFT';
  const range = startLine === undefined ? {} : { start_line: startLine, start_side: on };
  return { path, line, side: on, ...range, body: plain(text, 4_000) };
}

/** Comments that no line of the pull request can carry. */
function besideThe(comments: readonly ReviewComment[]): readonly string[] {
  return comments.map(({ path, line, startLine, text }) => {
    const lines = startLine === undefined ? `${line}` : `${startLine}–${line}`;
    return `${code(`${oneLine(path)}:${lines}`)}\n${plain(text, 4_000)}`;
  });
}
