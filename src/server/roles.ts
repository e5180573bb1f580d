/** What a person may do. There is one kind of person yet. */
export const roles = ['owner'] as const;
export type Role = (typeof roles)[number];
