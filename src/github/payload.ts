import { z } from 'zod';

/** What is read of GitHub's deliveries; everything else in them is passed over. */

const user = z.object({ login: z.string(), type: z.string().optional() });
const maybeUser = user.nullish();
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const association = z.string().default('NONE');
const number = z.int().positive();

const repository = z.object({
  full_name: z.string().regex(/^[\w.-]{1,100}\/[\w.-]{1,100}$/),
  clone_url: z.string(),
  default_branch: z.string().optional(),
});

const label = z.object({ name: z.string() });

const issue = z.object({
  number,
  title: text,
  body: text,
  user: maybeUser,
  author_association: association,
  labels: z.array(label).default([]),
  pull_request: z.unknown().optional(),
  updated_at: text,
  state: text,
});

const end = z.object({
  ref: z.string(),
  sha: z.string().regex(/^[0-9a-f]{40,64}$/),
  repo: z.object({ full_name: z.string() }).nullish(),
});

export const pullRequest = z.object({
  number,
  title: text,
  body: text,
  user: maybeUser,
  author_association: association,
  labels: z.array(label).default([]),
  head: end,
  base: end,
  updated_at: text,
});

export const comment = z.object({
  id: number,
  body: text,
  user: maybeUser,
  author_association: association,
  created_at: text,
  updated_at: text,
});

/** A file that a pull request changes; `patch` is missing when it is binary or too large. */
export const changedFile = z.object({
  filename: z.string(),
  status: text,
  additions: z.int().default(0),
  deletions: z.int().default(0),
  patch: text,
});

const changes = z.object({ body: z.object({ from: text }).optional() }).optional();
const common = { action: z.string(), repository, sender: maybeUser };

export const payloads = {
  issue_comment: z.object({ ...common, comment, issue, changes }),
  pull_request_review_comment: z.object({
    ...common,
    comment: comment.extend({ path: text, diff_hunk: text }),
    pull_request: pullRequest,
    changes,
  }),
  issues: z.object({ ...common, issue, changes, assignee: maybeUser, label: label.nullish() }),
  pull_request: z.object({ ...common, pull_request: pullRequest, requested_reviewer: maybeUser, changes, label: label.nullish() }),
  pull_request_review: z.object({
    ...common,
    pull_request: pullRequest,
    review: z.object({ id: number, body: text, state: text, user: maybeUser, author_association: association }),
  }),
  workflow_run: z.object({
    ...common,
    workflow_run: z.object({
      id: number,
      name: text,
      conclusion: z.string().nullish(),
      head_branch: z.string().nullish(),
      head_sha: z.string().regex(/^[0-9a-f]{40,64}$/),
      head_repository: z.object({ full_name: z.string() }).nullish(),
      workflow_id: z.int().optional(),
      html_url: text,
      pull_requests: z.array(z.object({ number })).default([]),
    }),
  }),
} as const;

export type EventKind = keyof typeof payloads;
export type Payload<K extends EventKind> = z.output<(typeof payloads)[K]>;
export type Repository = z.output<typeof repository>;
export type PullRequest = z.output<typeof pullRequest>;
export type ChangedFile = z.output<typeof changedFile>;
export type Comment = z.output<typeof comment>;

export const isEventKind = (kind: string): kind is EventKind => kind in payloads;
