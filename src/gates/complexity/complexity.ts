import { Worker } from 'node:worker_threads';
import type { Finding } from '../../domain/gate.ts';
import type { Clock } from '../../platform/clock.ts';
import type { ChangedFile } from '../../workspace/diff.ts';
import { type Change, evidence, type Gate } from '../gate.ts';
import { grammarOf } from './grammars.ts';
import type { MeasuredFunction, Source } from './measure.ts';

const limits = { files: 300, characters: 512 * 1024, together: 16 * 1024 * 1024, milliseconds: 30_000 };

/** Written by programs, or by somebody else. */
const foreign = /(?:^|\/)(?:vendor|third_party|node_modules|dist|generated)\/|\.min\.[cm]?js$|\.(?:pb|gen|generated)\.\w+$|_pb2?\.\w+$/;

/**
 * How many ways lead through a function that the change adds or touches. One that had as many before is excused: the change
 * did not make it worse.
 */
export const complexityGate = (most: number, clock: Clock): Gate => ({
  id: 'complexity',
  kind: 'complexity',
  async check({ change }, signal) {
    const sources = change ? await sourcesOf(change) : [];
    if (!change || sources.length === 0)
      return evidence({ passed: true, summary: 'No function in a language that is measured is changed.' });
    const measured = await measureAside(
      sources.flatMap(({ now, before }) => [now, before]),
      clock,
      signal,
    );
    if (!measured) return evidence({ passed: true, summary: 'The complexity of what is changed could not be measured in time.' });
    const touched = sources.flatMap(({ now: { path }, lines }, index) =>
      touchedFunctions(measured[2 * index] ?? [], measured[2 * index + 1] ?? [], lines).map((each) => ({ path, ...each })),
    );
    const above = touched.filter(({ complexity }) => complexity > most);
    const worse = above.filter(({ complexity, before }) => complexity > before);
    const findings = [...worse, ...above.filter(({ complexity, before }) => complexity <= before)].slice(0, 20).map(told);
    if (worse.length === 0) {
      const count = touched.length === 1 ? '1 function is' : `${touched.length} functions are`;
      return evidence({ passed: true, summary: `${count} new or changed, and none is too complex or has become more so.`, findings });
    }
    const [first] = worse;
    return evidence({
      passed: false,
      summary: `${worse.length === 1 ? 'A function is' : `${worse.length} functions are`} too complex; at most ${most} is asked for.`,
      findings,
      signature: `complexity:${first?.path}:${first?.name}`,
    });
  },
});

type Touched = MeasuredFunction & { readonly before: number };

const told = ({ path, name, firstLine, complexity, before }: Touched & { readonly path: string }): Finding => ({
  path,
  line: firstLine,
  text: `${name === '' ? 'a function' : name} has a complexity of ${complexity}${before === 0 ? '' : ` (it was ${before})`}`,
});

interface ChangedSource {
  readonly now: Source;
  readonly before: Source;
  /** That the change adds. */
  readonly lines: readonly number[];
}

async function sourcesOf(change: Change): Promise<readonly ChangedSource[]> {
  const added = Map.groupBy(
    change.lines.filter(({ kind }) => kind === 'added'),
    ({ path }) => path,
  );
  const found: ChangedSource[] = [];
  let together = 0;
  for (const { path, from } of change.files.filter(isMeasured).slice(0, limits.files)) {
    const lines = (added.get(path) ?? []).map(({ line }) => line);
    if (lines.length === 0) continue;
    const [now, before] = await Promise.all([change.now(path), change.before(from ?? path)]);
    if (now === undefined || now.length > limits.characters) continue;
    const was = before === undefined || before.length > limits.characters ? '' : before;
    together += now.length + was.length;
    if (together > limits.together) break;
    found.push({ now: { path, text: now }, before: { path, text: was }, lines });
  }
  return found;
}

const isMeasured = ({ path, kind, binary }: ChangedFile): boolean =>
  kind !== 'deleted' && !binary && !foreign.test(path) && grammarOf(path) !== undefined;

/** All come in order, and may be as many as a source has characters: each is looked at once. */
export function touchedFunctions(
  now: readonly MeasuredFunction[],
  before: readonly MeasuredFunction[],
  lines: readonly number[],
): readonly Touched[] {
  const was = new Map<string, number>();
  for (const { name, complexity } of before) was.set(name, Math.max(was.get(name) ?? 0, complexity));
  let next = 0;
  return now
    .filter(({ firstLine, lastLine }) => {
      while (next < lines.length && (lines[next] as number) < firstLine) next += 1;
      return next < lines.length && (lines[next] as number) <= lastLine;
    })
    .map((each) => ({ ...each, before: was.get(each.name) ?? 0 }));
}

/**
 * Undefined when it takes too long or breaks down: what a source does to the parser is no verdict on the change. Rejects when
 * the parser itself is not there, or every change would pass unmeasured.
 */
async function measureAside(
  sources: readonly Source[],
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly (readonly MeasuredFunction[])[] | undefined> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: sources,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 512 },
    stdout: true,
    stderr: true,
  });
  const measured = Promise.withResolvers<readonly (readonly MeasuredFunction[])[] | undefined>();
  const giveUp = (): void => measured.resolve(undefined);
  const cancelTimeout = clock.after(limits.milliseconds, giveUp);
  signal.addEventListener('abort', giveUp, { once: true });
  let ready = false;
  worker.on('message', (said: 'ready' | readonly (readonly MeasuredFunction[])[]) => {
    if (said === 'ready') ready = true;
    else measured.resolve(said);
  });
  worker.once('error', (error) => (ready ? giveUp() : measured.reject(error)));
  worker.once('exit', giveUp);
  try {
    return await measured.promise;
  } finally {
    cancelTimeout();
    signal.removeEventListener('abort', giveUp);
    await worker.terminate();
  }
}
