interface Dependent {
  readonly id: string;
  readonly dependsOn: readonly string[];
}

export interface Level {
  readonly name: string;
  readonly ids: readonly string[];
  /** So many more stand there than are shown. */
  readonly more: number;
}

export interface Neighbourhood {
  /** From what must be first to what comes last. */
  readonly levels: readonly Level[];
  readonly edges: readonly (readonly [from: string, to: string])[];
  /** Tasks that are named but not here. */
  readonly unknown: readonly string[];
}

const widest = 3;

/** Two levels of what a task waits for, and one of what waits for it as far as it is known. Dependencies hold no cycle. */
export function levelsAround(task: Dependent, tasks: ReadonlyMap<string, Dependent>): Neighbourhood {
  const level = (name: string, ids: readonly string[]): Level => ({
    name,
    ids: ids.slice(0, widest),
    more: Math.max(0, ids.length - widest),
  });
  const first = level('It waits for', task.dependsOn);
  const before = [...new Set(first.ids.flatMap((id) => tasks.get(id)?.dependsOn ?? []))].filter(
    (id) => !first.ids.includes(id) && id !== task.id,
  );
  const second = level('Which wait for', before);
  const dependents = level(
    'Wait for it',
    [...tasks.values()].filter(({ dependsOn }) => dependsOn.includes(task.id)).map(({ id }) => id),
  );
  const levels = [second, first, { name: 'This task', ids: [task.id], more: 0 }, dependents].filter(({ ids }) => ids.length > 0);
  const shown = new Set(levels.flatMap(({ ids }) => ids));
  const known = (id: string): Dependent | undefined => (id === task.id ? task : tasks.get(id));
  const edges = [...shown].flatMap((id) =>
    (known(id)?.dependsOn ?? []).filter((from) => shown.has(from)).map((from) => [from, id] as const),
  );
  return { levels, edges, unknown: [...shown].filter((id) => !known(id)) };
}
