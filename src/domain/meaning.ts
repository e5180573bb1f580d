/**
 * The same for the same work on the same repository, however it is spelt: capitals, punctuation and spaces do not matter.
 * Used as a key of deduplication, so that one wish that comes through two sources is one task.
 */
export function meaningOf({ title, repository }: { readonly title: string; readonly repository: string | null }): string {
  const words = title.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [title];
  return `work:${repository ?? ''}:${words.join(' ')}`.slice(0, 500);
}
