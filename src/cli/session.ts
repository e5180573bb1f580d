import type { Command } from 'commander';
import type { Exit } from './failure.ts';
import type { Screen, Terminal } from './terminal.ts';

/** One call of the program, as its command sees it. */
export interface Session {
  readonly terminal: Terminal;
  readonly screen: Screen;
  /** What stands after `--`. */
  readonly rest: readonly string[];
  /** Ends with this code although nothing was thrown. */
  end(exit: Exit): void;
  /** Every command with its arguments and options. */
  tree(): Promise<Command>;
}

/** What each command's file exports: arguments, options, examples and action, on a command that has its name and summary. */
export type Define = (command: Command, session: Session) => void;

export interface JsonFlag {
  readonly json?: true;
}

export const jsonFlag = (command: Command): Command => command.option('--json', 'print JSON');

export const examples = (command: Command, ...lines: readonly string[]): Command =>
  command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`);
