import { type FindingCategory, worthATask } from '../../domain/finding.ts';
import { noteLimits } from '../../domain/note.ts';
import { demoSource } from '../../domain/task.ts';
import type { Memory } from '../../knowledge/memory/memory.ts';
import { canonicalAddress } from '../../workspace/repository.ts';
import type { InvestigatorParts } from './investigator.ts';

/** Errors on the way to a change that works: they matter to the next run only when they come again. */
const passing: readonly FindingCategory[] = ['test-failure', 'compile-error', 'type-error', 'crash', 'repetition'];

/**
 * A finding in the words of a note: without the line, the time and the run, so that what is found again counts up. What it
 * says was printed by programs, so no model shall take it for anybody's word.
 */
export function noteFindings(memory: Pick<Memory, 'remember'>): InvestigatorParts['note'] {
  return async (tx, { task, run }, { category, code, message, file, worth }) => {
    if (task.source === demoSource) return;
    await memory.remember(tx, {
      kind: 'investigation',
      repository: task.repository === null ? null : (canonicalAddress(task.repository) ?? null),
      title: `${category}: ${code}`.slice(0, noteLimits.title).toWellFormed(),
      text: [message === '' ? code : message, ...(file === null ? [] : [`Where: ${file}`])].join('\n'),
      origin: { kind: 'run', taskId: task.id, runId: run.id },
      trust: 'untrusted',
      tags: ['finding', category],
      importance: passing.includes(category) ? 2 : worth >= worthATask ? 5 : 3,
    });
  };
}
