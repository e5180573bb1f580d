import { Worker } from 'node:worker_threads';
import type { Finding } from '../../domain/gate.ts';
import type { Clock } from '../../platform/clock.ts';
import type { ChangedFile } from '../../workspace/diff.ts';
import { addedLines, type Range } from '../added-lines.ts';
import { type Change, evidence, type Gate } from '../gate.ts';
import { grammarOf } from './grammars.ts';
import type { MeasuredFunction, Source } from './measure.ts';

const limits = {
  /** Of a file. */
  characters: 512 * 1024,
  /** Measured at once, and in all. */
  batch: 8 * 1024 * 1024,
  together: 64 * 1024 * 1024,
  /** For what is measured at once. */
  milliseconds: 30_000,
  /** So often it may break down before the rest is left. */
  breakdowns: 3,
};

/** Written by programs, or by somebody else. */
const foreign = /(?:^|\/)(?:vendor|third_party|node_modules|dist|generated)\/|\.min\.[cm]?js$|\.(?:pb|gen|generated)\.\w+$|_pb2?\.\w+$/;

/**
 * How many ways lead through a function that the change adds or touches. One that had as many before is excused, under this name
 * or, with most of its lines, under another or in another file: the change did not make it worse. What cannot be measured is no pass, but for a file that is too long, which is told.
 */
export const complexityGate = (most: number, clock: Clock): Gate => ({
  id: 'complexity',
  kind: 'complexity',
  async check({ change }, signal) {
    const files = (change?.files ?? []).filter(isMeasured);
    if (!change || files.length === 0) return evidence({ passed: true, summary: 'No function in a language that is measured is changed.' });
    const added = await addedLines(
      change,
      files.map(({ path }) => path),
    );
    if (!added.ok) return added;
    const result = await measureAll(
      files.filter(({ path }) => added.of(path).length > 0),
      change,
      added.of,
      clock,
      signal,
    );
    const moved = await movedHere(result, most, change, clock, signal);
    return verdictOn({ ...result, touched: result.touched.map((each) => moved.get(each) ?? each) }, most);
  },
});

interface Result {
  readonly touched: readonly (Touched & { readonly path: string })[];
  /** Too long to be measured. */
  readonly long: readonly string[];
  /** Not measured for another reason. */
  readonly left: readonly string[];
}

function verdictOn({ touched, long, left }: Result, most: number): ReturnType<typeof evidence> {
  const above = touched.filter(({ complexity }) => complexity > most);
  const worse = above.filter(({ complexity, before }) => complexity > before);
  const unmeasured = [...left.map((path) => notMeasured(path, 'in time')), ...long.map((path) => notMeasured(path, 'for its length'))];
  const findings = [...worse, ...above.filter(({ complexity, before }) => complexity <= before)].slice(0, 20).map(told);
  const facts = { findings: [...findings, ...unmeasured.slice(0, 20)] };
  const [first] = worse;
  if (first) {
    const summary = `${worse.length === 1 ? 'A function is' : `${worse.length} functions are`} too complex; at most ${most} is asked for.`;
    return evidence({ ...facts, passed: false, summary, signature: `complexity:${first.path}:${first.name}` });
  }
  if (left.length > 0) {
    const summary = `${left.length === 1 ? '1 file' : `${left.length} files`} could not be measured in time: it is too much, or too strange. Change less at once.`;
    return evidence({ ...facts, passed: false, summary, signature: `complexity:unmeasured:${left[0]}` });
  }
  const count = touched.length === 1 ? '1 function is' : `${touched.length} functions are`;
  const rest = long.length === 0 ? '' : ` ${long.length === 1 ? '1 file is' : `${long.length} files are`} too long to be measured.`;
  return evidence({
    ...facts,
    passed: true,
    summary: `${count} new or changed, and none is too complex or has become more so.${rest}`,
  });
}

const notMeasured = (path: string, why: string): Finding => ({ path, line: null, text: `could not be measured ${why}` });

const mostMoved = 100;

/** Those that seem new and stood elsewhere: each of what the changed files held stands for one that has come. */
async function movedHere(
  { touched }: Result,
  most: number,
  change: Change,
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadonlyMap<TouchedIn, TouchedIn>> {
  const worse = touched.filter(({ complexity, before, lines }) => complexity > most && complexity > before && lines).slice(0, mostMoved);
  if (worse.length === 0) return new Map();
  const sources: Source[] = [];
  let room = limits.batch;
  for (const { path, from = path, kind, binary } of change.files) {
    if (kind === 'added' || binary || foreign.test(from) || grammarOf(from) === undefined) continue;
    const text = await change.before(from);
    if (text === undefined || text.length > Math.min(room, limits.characters)) continue;
    room -= text.length;
    sources.push({ path: from, text });
  }
  const waiting = (await measureAside(sources, clock, signal)).flat().filter(({ complexity, lines }) => complexity > most && lines);
  const found = worse.flatMap((each) => {
    const at = waiting.findIndex((old) => old.complexity >= each.complexity && isMostly(each.lines ?? [], old.lines ?? []));
    if (at < 0) return [];
    const [old] = waiting.splice(at, 1);
    return [[each, { ...each, before: old?.complexity ?? 0 }] as const];
  });
  return new Map(found);
}

/** Four lines of five are the same. */
function isMostly(now: readonly string[], before: readonly string[]): boolean {
  const left = new Map<string, number>();
  for (const line of before) left.set(line, (left.get(line) ?? 0) + 1);
  const same = now.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count > 0;
  });
  return same.length >= 0.8 * Math.max(now.length, before.length);
}

type TouchedIn = Result['touched'][number];
type Touched = MeasuredFunction & { readonly before: number };

const told = ({ path, name, firstLine, complexity, before }: Touched & { readonly path: string }): Finding => ({
  path,
  line: firstLine,
  text: `${name} has a complexity of ${complexity}${before === 0 ? '' : ` (it was ${before})`}`,
});

const isMeasured = ({ path, kind, binary, newMode }: ChangedFile): boolean =>
  kind !== 'deleted' && !binary && newMode.startsWith('100') && !foreign.test(path) && grammarOf(path) !== undefined;

/** As much at once as fits; what is left over when it took too much, or broke down too often, is said. */
async function measureAll(
  files: readonly ChangedFile[],
  change: Change,
  linesOf: (path: string) => readonly Range[],
  clock: Clock,
  signal: AbortSignal,
): Promise<Result> {
  const [touched, long, left]: [Result['touched'][number][], string[], string[]] = [[], [], []];
  let [batch, size, room, breakdowns]: [Pair[], number, number, number] = [[], 0, limits.together, 0];
  const empty = async (): Promise<void> => {
    let waiting = batch;
    [batch, size] = [[], 0];
    while (waiting.length > 0 && breakdowns < limits.breakdowns) {
      const measured = await measureAside(
        waiting.flatMap(({ path, now, before }) => [
          { path, text: now },
          { path, text: before },
        ]),
        clock,
        signal,
      );
      const whole = Math.floor(measured.length / 2);
      for (const [at, { path }] of waiting.slice(0, whole).entries()) {
        const found = touchedFunctions(measured[2 * at] ?? [], measured[2 * at + 1] ?? [], linesOf(path));
        touched.push(...found.map((each) => ({ path, ...each })));
      }
      if (whole < waiting.length) {
        breakdowns += 1;
        left.push((waiting[whole] as Pair).path);
      }
      waiting = waiting.slice(whole + 1);
    }
    left.push(...waiting.map(({ path }) => path));
  };

  for (const { path, from = path } of files) {
    if (signal.aborted) break;
    const [now, before = ''] = await Promise.all([change.now(path), change.before(from)]);
    if (now === undefined || now.length > limits.characters) {
      long.push(path);
      continue;
    }
    const pair = { path, now, before: before.length > limits.characters ? '' : before };
    const length = pair.now.length + pair.before.length;
    if (length > room || breakdowns >= limits.breakdowns) {
      left.push(path);
      continue;
    }
    room -= length;
    if (size + length > limits.batch) await empty();
    batch.push(pair);
    size += length;
  }
  await empty();
  return { touched, long, left };
}

interface Pair {
  readonly path: string;
  readonly now: string;
  readonly before: string;
}

/**
 * All come in order, and may be as many as a source has characters: each is looked at once. Where several have one name, the
 * most complex is held against the most complex.
 */
export function touchedFunctions(
  now: readonly MeasuredFunction[],
  before: readonly MeasuredFunction[],
  lines: readonly Range[],
): readonly Touched[] {
  const inOrder = (functions: readonly MeasuredFunction[]): Map<string, MeasuredFunction[]> =>
    Map.groupBy(
      functions.toSorted((one, other) => other.complexity - one.complexity),
      ({ name }) => name,
    );
  const was = inOrder(before);
  const held = new Map(
    [...inOrder(now)].flatMap(([name, named]) => named.map((each, at) => [each, was.get(name)?.[at]?.complexity ?? 0] as const)),
  );
  let next = 0;
  return now
    .filter(({ firstLine, lastLine }) => {
      while (next < lines.length && (lines[next] as Range)[1] < firstLine) next += 1;
      return next < lines.length && (lines[next] as Range)[0] <= lastLine;
    })
    .map((each) => ({ ...each, before: held.get(each) ?? 0 }));
}

type Measured = readonly MeasuredFunction[];

/**
 * As many as there was time for, in order; what a source does to the parser is no fault of ours. Rejects when the parser itself
 * is not there.
 */
async function measureAside(sources: readonly Source[], clock: Clock, signal: AbortSignal): Promise<readonly Measured[]> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: sources,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 512 },
    stdout: true,
    stderr: true,
  });
  const measured: Measured[] = [];
  const over = Promise.withResolvers<void>();
  const cancelTimeout = clock.after(limits.milliseconds, over.resolve);
  const giveUp = (): void => over.resolve();
  signal.addEventListener('abort', giveUp, { once: true });
  let ready = false;
  worker.on('message', (said: 'ready' | Measured) => {
    if (said === 'ready') ready = true;
    else measured.push(said);
    if (measured.length === sources.length) over.resolve();
  });
  worker.once('error', (error) => (ready ? over.resolve() : over.reject(error)));
  worker.once('exit', giveUp);
  try {
    await over.promise;
    return measured;
  } finally {
    cancelTimeout();
    signal.removeEventListener('abort', giveUp);
    await worker.terminate();
  }
}
