import type { OutgoingMessage } from '../../domain/mail.ts';

export const todoSource = 'todo';

/** Where to tick: the address of a task that came out of a TODO file. */
export interface TodoAddress {
  readonly file: string;
  readonly key: string;
}

/** What set off the work on an item: the item, and which time it was asked for. */
export const triggerOf = ({ key, revision }: { readonly key: string; readonly revision: number }): string => `${key}@${revision}`;

export const tickKey = (trigger: string): string => `${trigger}:tick`;

/** Has a box ticked, and once more when its tick was lost: then `again` says when. */
export const tickMessage = (trigger: string, address: TodoAddress, again?: number): OutgoingMessage => ({
  channel: todoSource,
  recipient: address.file,
  kind: 'tick',
  key: tickKey(trigger),
  body: { ...address, ...(again === undefined ? {} : { again }) },
});
