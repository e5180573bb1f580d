export const sandboxModes = ['auto', 'require', 'off'] as const;
export type SandboxMode = (typeof sandboxModes)[number];

/** A place for scratch files: in memory with a limit, or a directory of the caller's, whose size the caller watches. */
export type Scratch = { readonly kind: 'memory'; readonly bytes: number } | { readonly kind: 'directory'; readonly path: string };

/** What one sandbox holds. Every path is the same inside and outside, so that nothing has to be translated. */
export interface Profile {
  /** The directory of the host that may be written. It must not be a symbolic link. */
  readonly workspace: string;
  /** More that may be written, by the same rules: where the engine keeps its session. */
  readonly writable?: readonly string[];
  readonly home: Scratch;
  readonly tmp: Scratch;
  /** Read-only besides the system: the Node installation, the SDK, a mirror's objects. */
  readonly readOnly?: readonly string[];
  /** Unix sockets that may be connected to: the model's. */
  readonly sockets?: readonly string[];
  /** The unix socket of an egress proxy (`egress.ts`). Without it there is no network at all. */
  readonly egressSocket?: string;
  readonly limits: Limits;
}

export interface Limits {
  /** Of all processes together. */
  readonly memoryBytes: number;
  readonly processes: number;
  readonly openFiles: number;
  readonly fileBytes: number;
  /** Of each process. */
  readonly cpuSeconds: number;
  /** Writable memory of each process. Leave it out for programs that reserve far more than they use, as Bun does. */
  readonly dataBytesPerProcess?: number;
}

export const defaultLimits: Limits = {
  memoryBytes: 4 * 2 ** 30,
  processes: 512,
  openFiles: 4_096,
  fileBytes: 2 * 2 ** 30,
  cpuSeconds: 7_200,
};
