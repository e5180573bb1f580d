/** What the exit code tells a script. They are part of the contract: docs/cli.md lists them. */
export const exits = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  keyRefused: 4,
  refused: 5,
  interrupted: 130,
} as const;

export type Exit = (typeof exits)[keyof typeof exits];

export const exitMeanings: readonly (readonly [Exit, string])[] = [
  [exits.ok, 'done'],
  [exits.failed, 'it failed: the task, a check of doctor, the server itself'],
  [exits.usage, 'wrong usage, or settings that cannot be used'],
  [exits.unreachable, 'no Nightshift server answers'],
  [exits.keyRefused, 'the server does not accept the API key'],
  [exits.refused, 'not found, or refused by the server'],
  [exits.interrupted, 'stopped by Ctrl-C'],
];

/** An end of a command that people and scripts are told about: what happened, and what to do. */
export class Failure extends Error {
  readonly exit: Exit;
  readonly code: string;
  /** Beside the message, for programs: bad fields, the request's id. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(exit: Exit, code: string, message: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'Failure';
    this.exit = exit;
    this.code = code;
    this.details = details;
  }
}

export const misused = (message: string): Failure => new Failure(exits.usage, 'bad-usage', message);
