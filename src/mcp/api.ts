/** Nightshift's REST API as the tools see it: all that they can do, a person with the same key can do by hand. */
export interface Api {
  /** Rejects only when the server cannot be reached; a refusal is an answer. */
  request(method: 'GET' | 'POST' | 'PATCH', path: string, body?: unknown): Promise<{ readonly status: number; readonly body: unknown }>;
}
