import type { Trust } from './task.ts';

export const noteKinds = ['investigation', 'checkpoint', 'failure', 'learning', 'summary'] as const;
export type NoteKind = (typeof noteKinds)[number];

/** Untrusted is what came from outside, or what a model wrote while it worked on such: it is shown to models as data. */
export const noteTrusts = ['trusted', 'untrusted'] as const;
export type NoteTrust = (typeof noteTrusts)[number];

export type NoteOrigin =
  | { readonly kind: 'person'; readonly name: string }
  | { readonly kind: 'task'; readonly taskId: string }
  | { readonly kind: 'run'; readonly taskId: string; readonly runId: string };

/** What is to be remembered. */
export interface NewNote {
  readonly kind: NoteKind;
  /** The canonical address of the repository that it is about; null is about all of them. */
  readonly repository: string | null;
  readonly title: string;
  readonly text: string;
  readonly origin: NoteOrigin;
  readonly trust: NoteTrust;
  readonly tags?: readonly string[];
  /** From 1 to 10; 5 when nobody says. */
  readonly importance?: number;
}

/** Something remembered. What is said twice, word for word, is one note that counts. */
export interface Note extends Required<NewNote> {
  readonly id: string;
  /** Of what it says and what it is about; the same for the same. */
  readonly hash: string;
  readonly times: number;
  /** The summary that stands for it. It is offered to nobody any more, and still found by whoever asks for all. */
  readonly supersededBy: string | null;
  readonly createdAt: number;
  /** When it was said or changed last. */
  readonly updatedAt: number;
}

export const noteLimits = { title: 200, text: 16_000, tags: 20, tag: 50, author: 200 } as const;
export const usualImportance = 5;

/** What a model writes is no better than what it was given to read, and only the owner's tasks are all the owner's words. */
export const trustIn = ({ trust }: { readonly trust: Trust }): NoteTrust => (trust === 'owner' ? 'trusted' : 'untrusted');

/** As a model reads it, and as its length is reckoned. */
export const noteText = ({ title, text }: Pick<Note, 'title' | 'text'>): string => `${title}\n${text}`;
