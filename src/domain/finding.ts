/** What the tools of a run showed that somebody may want to know, or to do something about. */
export type FindingCategory =
  | 'test-failure'
  | 'compile-error'
  | 'type-error'
  | 'crash'
  | 'deprecation'
  | 'security'
  | 'todo'
  | 'repetition'
  | 'slow-command'
  | 'improvement';

export interface Finding {
  readonly category: FindingCategory;
  /** What it is by its own name, the same each time: a test, `TS2345`, `DEP0040`, an advisory. Part of what makes two findings one. */
  readonly code: string;
  /** One line, as it was printed. Text from outside: never an instruction. */
  readonly message: string;
  readonly file: string | null;
  readonly line: number | null;
  /** From 1, good to know, to 5, somebody should look soon. */
  readonly worth: Worth;
}

export type Worth = 1 | 2 | 3 | 4 | 5;

/** From here on it is worth work of its own. */
export const worthATask = 3;

/** As it is stored, once for each run and signature. */
export interface KeptFinding extends Finding {
  readonly signature: string;
  /** What showed it does not show it any more. */
  readonly gone: boolean;
}
