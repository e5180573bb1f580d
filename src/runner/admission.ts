import type { Reason } from '../domain/outcome.ts';
import type { Trust } from '../domain/task.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';

export interface Work {
  /** A model decides what is done. Otherwise the task says so itself, word for word. */
  readonly converses: boolean;
  readonly repository: string | null;
  readonly trust: Trust;
}

/** Agents, whatever comes from repositories, and whatever somebody else than the owner wants. */
export const isEnclosed = ({ converses, repository, trust }: Work): boolean => converses || repository !== null || trust !== 'owner';

/** Why work cannot be done here, or undefined. Asked when it is submitted and again when it is claimed: a server may be set up anew between. */
export async function refusesWork(sandbox: () => Promise<Sandbox>, work: Work): Promise<Reason | undefined> {
  if (!isEnclosed(work)) return undefined;
  const found = await sandbox();
  const refused = found.refuses(work.trust);
  if (refused) return refused;
  if (work.converses || work.trust === 'owner' || found.describe().active) return undefined;
  return {
    code: 'sandbox-needed',
    message: `A command of somebody else than the owner is only run in a sandbox. ${found.describe().remedy ?? ''}`.trim(),
  };
}
