/** How much is measured. The full sizes take minutes, the quick ones show that everything works. */
export interface Sizes {
  readonly submitSeconds: number;
  readonly queued: readonly number[];
  readonly claims: number;
  readonly querySamples: number;
  readonly notes: number;
  readonly raceTasks: number;
  readonly raceRounds: number;
  readonly events: number;
  readonly restarts: number;
  readonly starts: number;
  readonly idleSeconds: number;
  readonly pageLoads: number;
  readonly firstRequests: number;
  readonly tasksPerServer: number;
  /** How many at once, and how often. */
  readonly concurrent: readonly { readonly runs: number; readonly rounds: number }[];
  /** Model streams: how many at once, how many in a round, and how many rounds. */
  readonly streams: readonly { readonly width: number; readonly streams: number; readonly rounds: number }[];
  readonly reservations: number;
  readonly resumes: number;
  readonly sandboxStarts: number;
  readonly toolUses: { readonly uses: number; readonly rounds: number };
  readonly mail: { readonly arrivals: number; readonly messages: number; readonly todoItems: number };
  readonly checkpoints: { readonly files: readonly number[]; readonly rounds: number; readonly rewinds: number };
  /** `minutes` is for how long a server is loaded, at most, and `endureTasks` how many it is given; `churn` how many watchers come and go at once. */
  readonly load: {
    readonly apiTasks: number;
    readonly apiSeconds: number;
    readonly watchers: number;
    readonly watchSeconds: number;
    readonly runnerTasks: number;
    readonly minutes: number;
    readonly endureTasks: number;
    readonly churn: number;
    readonly burst: number;
  };
  readonly big: { readonly files: number; readonly historyMiB: number; readonly rounds: number };
}

export const fullSizes: Sizes = {
  submitSeconds: 4,
  queued: [1_000, 100_000, 1_000_000],
  claims: 600,
  querySamples: 100,
  notes: 100_000,
  raceTasks: 2_000,
  raceRounds: 3,
  events: 4_000,
  restarts: 5,
  starts: 5,
  idleSeconds: 10,
  pageLoads: 9,
  firstRequests: 20,
  tasksPerServer: 5,
  concurrent: [
    { runs: 1, rounds: 5 },
    { runs: 4, rounds: 3 },
    { runs: 8, rounds: 2 },
    { runs: 16, rounds: 1 },
  ],
  streams: [
    { width: 1, streams: 300, rounds: 4 },
    { width: 50, streams: 1_500, rounds: 4 },
    { width: 500, streams: 3_000, rounds: 4 },
  ],
  reservations: 1_000,
  resumes: 5,
  sandboxStarts: 100,
  toolUses: { uses: 40, rounds: 3 },
  mail: { arrivals: 300, messages: 2_000, todoItems: 10_000 },
  checkpoints: { files: [1_000, 100_000], rounds: 15, rewinds: 5 },
  load: {
    apiTasks: 100_000,
    apiSeconds: 20,
    watchers: 1_000,
    watchSeconds: 20,
    runnerTasks: 100_000,
    minutes: 3,
    endureTasks: 100_000,
    churn: 100,
    burst: 250,
  },
  big: { files: 100_000, historyMiB: 1_024, rounds: 3 },
};

export const quickSizes: Sizes = {
  submitSeconds: 1,
  queued: [1_000, 20_000],
  claims: 200,
  querySamples: 20,
  notes: 5_000,
  raceTasks: 200,
  raceRounds: 1,
  events: 1_000,
  restarts: 1,
  starts: 1,
  idleSeconds: 1,
  pageLoads: 1,
  firstRequests: 3,
  tasksPerServer: 3,
  concurrent: [
    { runs: 1, rounds: 1 },
    { runs: 4, rounds: 1 },
  ],
  streams: [
    { width: 1, streams: 50, rounds: 2 },
    { width: 50, streams: 200, rounds: 2 },
    { width: 500, streams: 500, rounds: 2 },
  ],
  reservations: 100,
  resumes: 1,
  sandboxStarts: 20,
  toolUses: { uses: 10, rounds: 1 },
  mail: { arrivals: 30, messages: 200, todoItems: 1_000 },
  checkpoints: { files: [1_000], rounds: 3, rewinds: 2 },
  load: {
    apiTasks: 5_000,
    apiSeconds: 2,
    watchers: 100,
    watchSeconds: 2,
    runnerTasks: 500,
    minutes: 0.25,
    endureTasks: 100_000,
    churn: 50,
    burst: 50,
  },
  big: { files: 5_000, historyMiB: 32, rounds: 1 },
};
