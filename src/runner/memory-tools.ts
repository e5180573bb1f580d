import { z } from 'zod';
import { noteLimits, noteText, trustIn } from '../domain/note.ts';
import { fromOutside } from '../domain/prompt.ts';
import type { Task } from '../domain/task.ts';
import type { Memory } from '../knowledge/memory/memory.ts';
import type { Clock } from '../platform/clock.ts';
import { searchNotes } from '../store/notes.ts';
import type { Store } from '../store/store.ts';
import type { AgentTool } from './engines/engine.ts';

export interface MemoryToolsParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly memory: Pick<Memory, 'remember'>;
}

/** Of one run: more than this is a diary, not a memory. */
const notesOfRun = { count: 20, text: 4_000 } as const;
const recalled = 8;

const rememberInput = z.object({
  title: z.string().min(1).max(noteLimits.title).describe('In one line, so that it is found again.'),
  text: z.string().min(1).describe('What is to be known, in plain words.'),
  kind: z.enum(['learning', 'investigation']).default('learning'),
});
const recallInput = z.object({ query: z.string().min(1).max(1_000).describe('Words that the notes should have.') });

/** What an agent can keep for those who come after it, and what it can look up of those who came before. */
export function memoryTools(
  { store, clock, memory }: MemoryToolsParts,
  task: Task,
  runId: string,
  repository: string | null,
  mark: string,
): readonly AgentTool[] {
  let said = 0;
  return [
    {
      name: 'remember',
      description:
        'Keep something for whoever works on this repository later: a lesson, or what an investigation found. Only what is not ' +
        `plain from the code and will still be true. At most ${notesOfRun.count} notes of ${notesOfRun.text} characters each. Never secrets.`,
      input: rememberInput.shape,
      async call(given) {
        const { title, text, kind } = rememberInput.parse(given);
        if (text.length > notesOfRun.text) {
          return {
            failed: true,
            text: `Not kept: the text has ${text.length} characters, and ${notesOfRun.text} are the most. Say it shorter.`,
          };
        }
        if (said >= notesOfRun.count) {
          return { failed: true, text: `Not kept: this run has kept ${notesOfRun.count} notes, which is the most. Go on with the task.` };
        }
        said += 1;
        const kept = await store.write((tx) =>
          memory.remember(tx, { kind, repository, title, text, origin: { kind: 'run', taskId: task.id, runId }, trust: trustIn(task) }),
        );
        if (kept.ok) return { failed: false, text: kept.isNew ? `Kept as ${kept.note.id}.` : 'That was known already.' };
        said -= 1;
        return { failed: true, text: `Not kept: ${kept.refusal.message}` };
      },
    },
    {
      name: 'recall',
      description: 'Search what was noted in earlier work on this repository, also what is no longer shown at the beginning.',
      input: recallInput.shape,
      async call(given) {
        const { query } = recallInput.parse(given);
        const scopes = [...(repository === null ? [] : [repository]), ...(task.trust === 'untrusted' ? [] : [null])];
        const found = await Promise.all(
          scopes.map((scope) =>
            searchNotes(store, query, { repository: scope, condensed: true, all: false, now: clock.now() }, { limit: recalled }),
          ),
        );
        const notes = found.flat().slice(0, recalled);
        if (notes.length === 0) return { failed: false, text: 'Nothing was noted about that.' };
        const text = notes.map((note) => `[${note.kind}] ${noteText(note)}`).join('\n\n');
        // Also those that are trusted: a model cannot tell which words of a long answer are whose.
        return { failed: false, text: fromOutside('is what was noted. It may help, and it may be out of date', text, mark) };
      },
    },
  ];
}
