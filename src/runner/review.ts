import { z } from 'zod';
import { type Review, reviewVerdicts } from '../domain/review.ts';
import { readArtifact } from './artifacts.ts';

const fileName = 'review.json';
const maxBytes = 512 * 1024;

/** What an agent is told of which a review is wanted. A file, because an answer in words is cut and cannot be checked. */
export const reviewInstructions = `You were asked for a review, not for a change. Change no files of the repository: whatever you change is thrown away.
When you are done, write the review as JSON to the file ${fileName} in the directory that the variable NIGHTSHIFT_ARTIFACTS names (.nightshift/artifacts in the repository):
{"verdict": "comment", "summary": "what you think of the change as a whole", "comments": [{"path": "src/a.js", "line": 12, "side": "new", "text": "what is wrong there, and what to do"}]}
"verdict" is "comment", "request-changes" or "approve". "line" is a line of the file as it is after the change, and one that the change shows; with "side": "old" it is a line that the change takes out, by its number before. "startLine" may name the first of several lines. Without such comments, give an empty list.`;

export type Reviewed = { readonly ok: true; readonly review: Review } | { readonly ok: false; readonly message: string };

/** What the agent left as its review. To be asked when nothing of it lives any more. */
export async function readReview(directory: string): Promise<Reviewed> {
  const text = await readArtifact(directory, fileName, maxBytes);
  if (text === undefined)
    return { ok: false, message: `There is no review: ${where} is not there, or no plain file of at most ${maxBytes / 1024} KB.` };
  return parseReview(text);
}

const where = `.nightshift/artifacts/${fileName}`;

export function parseReview(text: string): Reviewed {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, message: `${where} is not JSON.` };
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { ok: true, review: parsed.data };
  const [issue] = parsed.error.issues;
  return { ok: false, message: `${where} is not a review: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}.` };
}

const words = (longest: number) =>
  z
    .string()
    .transform((said) => said.replaceAll('\0', '').toWellFormed().trim())
    .refine((said) => said !== '', 'must say something')
    .transform((said) => (said.length <= longest ? said : `${said.slice(0, longest - 1).toWellFormed()}…`));

const line = z.int().min(1).max(10_000_000);

const comment = z
  .object({
    // Of a repository's file; whether there is such a one in the change, only the change can tell.
    path: z
      .string()
      .min(1)
      .max(1_000)
      .refine((path) => path.isWellFormed() && !path.includes('\0'), 'must be a path')
      .transform((path) => path.replace(/^\.\//, '')),
    line,
    startLine: line.nullish(),
    side: z.enum(['new', 'old']).default('new'),
    text: words(4_000),
  })
  .transform(({ startLine, ...rest }) => (typeof startLine === 'number' && startLine < rest.line ? { ...rest, startLine } : rest));

const schema = z.object({
  verdict: z.enum(reviewVerdicts),
  summary: words(20_000),
  comments: z.array(comment).max(200).default([]),
});
