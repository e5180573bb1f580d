import { createHash } from 'node:crypto';
import { type Note, noteText } from '../../domain/note.ts';
import type { Channel } from '../../outbox/channel.ts';
import { findNote } from '../../store/notes.ts';
import type { Store } from '../../store/store.ts';
import type { Mirror } from '../connector.ts';
import type { MemoryLink } from './link.ts';
import { sendingOf } from './report.ts';

const name = 'memory-notes';

/** What the note says is read when it is sent, so that nothing is sent any more that was deleted meanwhile. */
interface Noted {
  readonly server: string;
  readonly note: string;
  readonly at: number;
}

export function memoryMirror(list: string): Mirror {
  const server = nameOf(list);
  return (note, at) => ({
    channel: name,
    recipient: 'memory-mcp',
    kind: 'note',
    key: `${server}/${note}`,
    body: { server, note, at } satisfies Noted,
  });
}

/** Tells one server from another; an address may hold what is nobody's business. */
const nameOf = (list: string): string => createHash('sha256').update(list).digest('hex').slice(0, 8);

/** The server keeps one text under each key, so that to send a note twice is to send it once. */
export const mirrorChannel = (link: MemoryLink, ours: string, store: Pick<Store, 'read'>): Channel => ({
  name,
  async send({ body, ref }, signal) {
    const { server, note: id } = body as Noted;
    if (server !== nameOf(ours)) {
      return { kind: 'refused', code: 'other-list', message: 'It is for another server than the one that MEMORY_MCP_URL names now.' };
    }
    const note = await findNote(store.read, id);
    const kept = await link.use((list) => list.keep({ key: `nightshift/${id}`, ...copyOf(note) }, signal), signal);
    return kept.ok ? { kind: 'sent', ref } : sendingOf(kept.failure);
  },
});

/** Nothing can be deleted there, so a deleted note leaves an empty one. */
const copyOf = (note: Note | undefined) =>
  note === undefined
    ? { value: '(deleted in Nightshift)', importance: 1, metadata: { deleted: true } }
    : {
        value: noteText(note),
        importance: note.importance,
        metadata: { kind: note.kind, repository: note.repository, trust: note.trust, tags: note.tags },
      };
