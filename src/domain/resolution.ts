/** What a person can say about a task that was escalated, or that went over its budget. */
export const choices = ['retry', 'raise-budget', 'take-over', 'give-up'] as const;
export type Choice = (typeof choices)[number];

export type Resolution =
  /** The next attempt is told the note. */
  | { readonly choice: 'retry'; readonly note: string | null }
  | { readonly choice: 'raise-budget'; readonly budgetUsd: number; readonly note: string | null }
  /** It ends cancelled, so that no agent goes on with it, and its work stays for the person. */
  | { readonly choice: 'take-over'; readonly note: string | null }
  | { readonly choice: 'give-up'; readonly note: string | null };
