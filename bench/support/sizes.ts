/** How much is measured. The full sizes take minutes, the quick ones show that everything works. */
export interface Sizes {
  readonly submitSeconds: number;
  readonly queued: readonly number[];
  readonly claims: number;
  readonly querySamples: number;
  readonly raceTasks: number;
  readonly raceRounds: number;
  readonly events: number;
  readonly restarts: number;
  readonly starts: number;
  readonly idleSeconds: number;
}

export const fullSizes: Sizes = {
  submitSeconds: 4,
  queued: [1_000, 100_000, 1_000_000],
  claims: 600,
  querySamples: 100,
  raceTasks: 2_000,
  raceRounds: 3,
  events: 4_000,
  restarts: 5,
  starts: 5,
  idleSeconds: 10,
};

export const quickSizes: Sizes = {
  submitSeconds: 1,
  queued: [1_000, 20_000],
  claims: 200,
  querySamples: 20,
  raceTasks: 200,
  raceRounds: 1,
  events: 1_000,
  restarts: 1,
  starts: 1,
  idleSeconds: 1,
};
