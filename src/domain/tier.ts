/** How much of a model a piece of work needs; which model that is, the server's settings say. */
export const tiers = ['light', 'standard', 'deep'] as const;
export type Tier = (typeof tiers)[number];
