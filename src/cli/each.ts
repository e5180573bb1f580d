import type { Task } from './api.ts';
import type { Client } from './client.ts';
import { type ClientFlags, connect } from './connect.ts';
import { exits, Failure } from './failure.ts';
import { taskId } from './ids.ts';
import { block } from './legible.ts';
import type { Session } from './session.ts';

/**
 * Does the same with each task named. One that is refused does not keep the others from their turn; a server that does
 * not answer does.
 */
export async function withEach(
  session: Session,
  flags: ClientFlags,
  ids: readonly string[],
  act: (client: Client, id: string) => Promise<Task>,
  say: (task: Task) => string,
): Promise<void> {
  return tryEach(session, flags, ids.map(taskId), act, (task) => `${task.id}  ${say(task)}`);
}

/** The same with whatever else has a name or an id. */
export async function tryEach<T>(
  session: Session,
  flags: ClientFlags,
  wanted: readonly string[],
  act: (client: Client, id: string) => Promise<T>,
  say: (item: T) => string,
): Promise<void> {
  const { screen } = session;
  const client = connect(flags, session);
  const items: T[] = [];
  const refused: { readonly id: string; readonly code: string; readonly message: string }[] = [];
  for (const id of wanted) {
    try {
      const item = await act(client, id);
      items.push(item);
      if (!flags.json) screen.line(say(item));
    } catch (error) {
      if (!(error instanceof Failure) || error.exit !== exits.refused) throw error;
      refused.push({ id, code: error.code, message: error.message });
      if (!flags.json) screen.remark(`${id}  ${block(error.message)}`);
    }
  }
  if (flags.json) screen.json({ items, refused });
  if (refused.length > 0) session.end(exits.refused);
}
