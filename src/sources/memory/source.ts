import { createHash } from 'node:crypto';
import type { Reading, Source } from '../../inbox/source.ts';
import { meaningOf } from '../../queue/meaning.ts';
import type { MemoryItem } from './list.ts';
import { itemOf } from './wire.ts';

export const memorySource = 'memory';

/** What is delivered: an item that is ours, one that somebody else got, or an entry that makes no sense, as it came. */
export type Listed = { readonly list: string } & ({ readonly item: MemoryItem; readonly heldBy?: string } | { readonly odd: unknown });

/** Another list has other items, even under the same ids. */
export const triggerOf = (list: string, item: string, revision: number): string => `${nameOf(list)}/${item}@${revision}`;
/** The same entry is shown once, however often it is listed. */
export const oddKey = (list: string, entry: unknown): string => `${nameOf(list)}?${hashOf(JSON.stringify(entry))}`;
export const lostKey = (trigger: string, heldBy: string): string => `${trigger}!${hashOf(heldBy).slice(0, 16)}`;
export const statusKey = (trigger: string): string => `${trigger}:status`;
const nameOf = (list: string): string => hashOf(list).slice(0, 8);
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What is needed to tell the list. */
export interface MemoryAddress {
  /** Where the item is; ids of one list say nothing in another. */
  readonly list: string;
  readonly item: string;
}

/** What an item of the list means. Whoever may write to the list may ask for work, which is not only the owner. */
export const memoryItems: Source = {
  name: memorySource,
  async read({ key }, body): Promise<Reading> {
    const listed = JSON.parse(body.toString('utf8')) as Listed;
    if ('heldBy' in listed)
      return {
        kind: 'ignored',
        reason: { code: 'held-elsewhere', message: `Both wanted it; ${(listed.heldBy ?? '').slice(0, 80)} has it.` },
      };
    const read = 'item' in listed ? { ok: true as const, item: listed.item } : itemOf(listed.odd);
    if (!read.ok) return { kind: 'failed', reason: { code: 'not-an-item', message: `The entry of the list makes no sense. ${read.why}` } };
    const { item } = read;
    const [first = '', ...rest] = item.description.split('\n');
    const title = first.replaceAll(/\s+/g, ' ').trim().slice(0, 500);
    const repository = item.tags.map((tag) => /^repo(?:sitory)?:(\S+)$/i.exec(tag)?.[1]).find((url) => url !== undefined) ?? null;
    const details = [first.length > 500 ? first : '', ...rest].join('\n').trim();
    const address: MemoryAddress = { list: listed.list, item: item.id };
    return {
      kind: 'work',
      wanted: [
        {
          trigger: key,
          address,
          wish: {
            title,
            source: memorySource,
            requestedBy: 'memory-mcp',
            trust: 'known',
            engine: 'claude',
            labels: item.tags.filter((tag) => !tag.includes(':')),
            priority: item.priority,
            externalRef: item.id,
            dedupeKey: meaningOf({ title, repository, details }),
            ...(details === '' ? {} : { body: details }),
            ...(repository === null ? {} : { repository }),
          },
        },
      ],
    };
  },
};
