/** How model providers stand, and who waits for them. */
export interface ProvidersState {
  readonly providers: readonly {
    readonly name: string;
    readonly keys: readonly { readonly id: string | null; readonly state: 'ok' | 'limited' | 'rejected'; readonly until: number | null }[];
  }[];
  readonly breakers: readonly {
    readonly id: string;
    readonly provider: string;
    readonly model: string;
    readonly state: 'closed' | 'open' | 'half-open';
    readonly failures: number;
    readonly until: number | null;
  }[];
  readonly waiting: readonly { readonly runId: string; readonly calls: number }[];
}
