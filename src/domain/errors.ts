/**
 * Errors that people and programs meet. Each has a stable code, and its message says what happened and what to do.
 * Anything else that is thrown is a defect.
 */
export class NightshiftError extends Error {
  readonly code: string;
  /** What it means over HTTP. */
  readonly status: number;
  readonly details: Record<string, unknown>;

  constructor(status: number, code: string, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

/** The request asks for something that cannot be. */
export class Refused extends NightshiftError {}

/** Nothing was stored. Trying again later may work; `status` 503. */
export class StoreUnavailable extends NightshiftError {
  constructor(code: string, message: string, cause?: unknown) {
    super(503, code, message, {}, cause);
  }
}

/** The settings or the home cannot be used; the program stops with this message. */
export class Unusable extends NightshiftError {
  constructor(code: string, message: string, cause?: unknown) {
    super(500, code, message, {}, cause);
  }
}
