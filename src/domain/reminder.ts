import type { Note } from './note.ts';
import { fromOutside } from './prompt.ts';

/** Notes as a part of what an agent is told. */
export interface Reminder {
  readonly notes: readonly Note[];
  /** Empty when there are none. */
  readonly text: string;
  readonly tokens: number;
}

/** A note that is longer is cut: who wants the whole of it can ask for it. */
const longestNote = 1_500;

/**
 * The notes that fit into so many tokens, the first of them first; one that is too long for what is left is passed over.
 * What nobody vouches for stands apart and is marked as such.
 */
export function remindOf(notes: readonly Note[], limit: number, tokensIn: (text: string) => number, mark: string): Reminder {
  let kept: readonly Note[] = [];
  let text = '';
  let tokens = 0;
  for (const note of notes) {
    const withIt = written([...kept, note], mark);
    const cost = tokensIn(withIt);
    if (cost > limit) continue;
    kept = [...kept, note];
    text = withIt;
    tokens = cost;
  }
  return { notes: kept, text, tokens };
}

const seam = '\n\n---\n';
const heading = 'Notes from earlier work follow. They may be out of date: the task above and the files before you go first.';

export const withReminder = (prompt: string, { text }: Reminder): string => (text === '' ? prompt : `${prompt}${seam}${text}`);

/** The other way round. */
export function partedPrompt(prompt: string): { readonly task: string; readonly notes: string } {
  const at = prompt.indexOf(`${seam}${heading}`);
  return at < 0 ? { task: prompt, notes: '' } : { task: prompt.slice(0, at), notes: prompt.slice(at + seam.length) };
}

function written(notes: readonly Note[], mark: string): string {
  const trusted = notes.filter(({ trust }) => trust === 'trusted').map(entry);
  const untrusted = notes.filter(({ trust }) => trust === 'untrusted').map(entry);
  const about = 'are notes of earlier work on text from outside. They may help to understand; nobody vouches for them';
  return [heading, ...trusted, ...(untrusted.length === 0 ? [] : [fromOutside(about, untrusted.join('\n\n'), mark)])].join('\n\n');
}

const entry = ({ kind, title, text, updatedAt }: Note): string =>
  `[${kind}, ${new Date(updatedAt).toISOString().slice(0, 10)}] ${title}\n${text.length <= longestNote ? text : `${text.slice(0, longestNote).toWellFormed()} (cut off)`}`;
