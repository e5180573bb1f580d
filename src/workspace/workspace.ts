import type { WorkspaceRecord } from '../domain/workspace.ts';

/**
 * A workspace on this machine. `tree` is all that its agent may write; it must be able to read `objects` at that same
 * path, and needs nothing else of ours.
 */
export interface Workspace extends WorkspaceRecord {
  readonly tree: string;
  readonly index: string;
  readonly objects: string;
}
