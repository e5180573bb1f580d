import { type Reminder, remindOf } from '../../domain/reminder.ts';
import type { Task } from '../../domain/task.ts';
import { searchNotes } from '../../store/notes.ts';
import type { Store } from '../../store/store.ts';

export interface RemindParts {
  readonly store: Pick<Store, 'read' | 'dialect'>;
  readonly now: number;
  /** The most that the notes may take of the prompt. */
  readonly tokens: number;
  readonly tokensIn: (text: string) => number;
  /** Nobody can have known it before: what is marked with it cannot end its mark. */
  readonly mark: string;
}

const mostNotes = 20;

/**
 * What an agent should know before it begins: what was noted about the same repository, then about all of them. Whoever is not
 * trusted reads what comes of the run, and so hears nothing of other work.
 */
export async function remind(
  { store, now, tokens, tokensIn, mark }: RemindParts,
  task: Pick<Task, 'title' | 'body' | 'trust'>,
  repository: string | null,
): Promise<Reminder> {
  if (tokens === 0) return remindOf([], 0, tokensIn, '');
  const asked = `${task.title}\n${task.body ?? ''}`;
  const about = (scope: string | null) => searchNotes(store, asked, { repository: scope, all: false, now }, { limit: mostNotes });
  const notes = [...(repository === null ? [] : await about(repository)), ...(task.trust === 'untrusted' ? [] : await about(null))];
  return remindOf(notes, tokens, tokensIn, mark);
}
