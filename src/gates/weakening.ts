import type { Finding } from '../domain/gate.ts';
import type { ChangedLine } from '../workspace/diff.ts';
import { configuration, isGoneBy, isSteering, weakerConfiguration } from './configuration.ts';
import { detectGates } from './detect.ts';
import { type Change, evidence, type Gate } from './gate.ts';
import { goesBy } from './goes-by.ts';
import { hiddenWork } from './hidden-work.ts';
import { gatesFile, parseGateSettings, weakerSettings } from './settings.ts';
import { isTest, source } from './test-files.ts';
import { testsKept } from './tests-kept.ts';
import { wayOut } from './way-out.ts';

/** What is run to judge the change. */
export interface JudgingCommand {
  readonly id: string;
  readonly argv: readonly string[];
}

/**
 * Whether the change makes the other gates easier to pass. Fewer or skipped tests, lowered thresholds and gates that are gone
 * are red, unless the task allows it; other edits of what the gates are made of are told, for whoever reviews.
 */
export const weakeningGate = (allowed: boolean, commands: readonly JudgingCommand[] = []): Gate => ({
  id: 'weakening',
  kind: 'weakening',
  async check({ change }) {
    if (!change) return evidence({ passed: true, summary: 'There is nothing that could be weakened.' });
    const tests = await testsKept(change);
    const hidden = await hiddenWork(change);
    const grave = [
      ...tests.grave,
      ...unread(change),
      ...loweredThresholds(change.lines),
      ...(await weakerConfiguration(change)),
      ...hidden.grave,
      ...(await weakerFile(change)),
    ];
    const told = [
      ...tests.told,
      ...hidden.told,
      ...otherPrograms(change),
      ...(await touchedChecks(change, commands)),
      ...suppressions(change.lines),
    ];
    const findings = [...grave.slice(0, 20), ...told.slice(0, 20)];
    if (grave.length === 0) {
      return evidence({
        passed: true,
        summary: told.length === 0 ? 'No gate is weakened.' : 'No gate is weakened; look at these.',
        findings,
      });
    }
    const summary = `Gates are weakened: ${grave[0]?.path ?? ''} ${grave[0]?.text ?? ''}${grave.length > 1 ? `, and ${grave.length - 1} more` : ''}.`;
    if (allowed) return evidence({ passed: true, summary: `${summary} The task allows it.`, findings });
    return evidence({
      passed: false,
      summary: `${summary} ${wayOut}`,
      findings,
      signature: `weakening:${grave[0]?.path ?? ''}:${grave[0]?.text ?? ''}`,
    });
  },
});

/** Lines come file by file: of the last that was begun, and of those after it, nobody knows what was done to them. */
function unread({ files, lines, linesTruncated }: Change): readonly Finding[] {
  if (!linesTruncated) return [];
  const last = files.findIndex(({ path }) => path === lines.at(-1)?.path);
  return files
    .slice(Math.max(0, last))
    .filter(({ path, from = path }) => [path, from].some((each) => isTest(each) || each.endsWith('.rs') || configuration.test(each)))
    .map(({ path }) => ({ path, line: null, text: 'was not looked at, because so much is changed' }));
}

const settings = [
  /["']?\b(lines|branches|functions|statements|threshold|fail[_-]under|cov-fail-under|min[_-]?coverage|minimum|target|check-coverage)["']?\s*[:=]\s*["']?(\d{1,3}(?:\.\d+)?)\b/g,
  /["']?\b(strict\w*|noImplicit\w+|noUnchecked\w+|noUnused\w+|exactOptionalPropertyTypes|noFallthrough\w+|disallow_\w+|warn_\w+|no_implicit_\w+)["']?\s*[:=]\s*["']?(true|false)\b/gi,
];

interface Setting {
  readonly path: string;
  readonly line: number;
  readonly name: string;
  readonly value: string;
}

/**
 * In files that configure gates: a number that was lowered, or a strictness that was given up. One name can stand there
 * several times, so the lowest is held against the lowest.
 */
function loweredThresholds(lines: readonly ChangedLine[]): readonly Finding[] {
  const config = lines.filter(({ path }) => configuration.test(path) || /(?:^|\/)\.nycrc/.test(path));
  const added = settingsIn(config.filter(({ kind }) => kind === 'added'));
  const removed = settingsIn(config.filter(({ kind }) => kind === 'removed'));
  return [...removed].flatMap(([key, before]) =>
    before.flatMap(({ path, line, name, value }, at) => {
      const now = added.get(key)?.[at];
      if (height(value) === 0 || (now && height(now.value) >= height(value))) return [];
      const text = now ? `sets ${name} to ${now.value} (it was ${value})` : `no longer sets ${name} (it was ${value})`;
      return [{ path, line: now?.line ?? line, text }];
    }),
  );
}

/** By file and name, the lowest first. */
function settingsIn(lines: readonly ChangedLine[]): ReadonlyMap<string, readonly Setting[]> {
  const all = lines.flatMap(({ path, line, text }) =>
    settings.flatMap((form) => [...text.matchAll(form)].map(([, name = '', value = '']): Setting => ({ path, line, name, value }))),
  );
  const ordered = all.toSorted((one, other) => height(one.value) - height(other.value));
  return Map.groupBy(ordered, ({ path, name }) => `${path}\n${name}`);
}

const height = (value: string): number => (/^\d/.test(value) ? Number(value) : value.toLowerCase() === 'true' ? 1 : 0);

async function weakerFile(change: Change): Promise<readonly Finding[]> {
  if (!isTouched(change, gatesFile)) return [];
  const before = parseGateSettings(await change.before(gatesFile));
  const text = await change.now(gatesFile);
  if (text === undefined) return [{ path: gatesFile, line: null, text: 'is gone' }];
  const now = parseGateSettings(text);
  if (!now.ok) return [{ path: gatesFile, line: null, text: `can no longer be read: ${now.message}` }];
  const detected = await detectGates(change.before);
  const weaker = before.ok ? weakerSettings(before.settings, now.settings, detected) : [];
  return weaker.map((what) => ({ path: gatesFile, line: null, text: what }));
}

const isTouched = ({ files }: Change, name: string): boolean => files.some(({ path, from }) => path === name || from === name);

const suppression =
  /eslint-disable|oxlint-disable|biome-ignore|@ts-(?:ignore|nocheck|expect-error)|#\s*type:\s*ignore|#\s*noqa|#\s*pragma:\s*no cover|(?:istanbul|c8|v8) ignore|\/\/\s*nolint|#!?\[allow\(|@SuppressWarnings|NOSONAR/;

function suppressions(lines: readonly ChangedLine[]): readonly Finding[] {
  return lines
    .filter(({ kind, path, text }) => kind === 'added' && source.test(path) && suppression.test(text))
    .map(({ path, line }) => ({ path, line, text: 'silences a check' }));
}

/** Whatever decides what a gate says is told when it is changed, also where nobody can tell whether it is weaker. */
async function touchedChecks({ files, before }: Change, commands: readonly JudgingCommand[]): Promise<readonly Finding[]> {
  const gates = await Promise.all(commands.map(async ({ id, argv }) => ({ id, by: await goesBy(argv, before) })));
  return files.flatMap((file) => {
    const { path, kind } = file;
    const changed = kind === 'type-changed' ? 'changed' : kind;
    const ids = gates.filter(({ by }) => isGoneBy(file, by)).map(({ id }) => id);
    const configures = isSteering(file) || [path, file.from ?? path].some((each) => configuration.test(each) || each === gatesFile);
    if (configures) return [{ path, line: null, text: `configures gates or CI and is ${changed}` }];
    return ids.length === 0 ? [] : [{ path, line: null, text: `is what ${listed(ids)} goes by and is ${changed}` }];
  });
}

/** Gates are run with them, and no diff shows what was done to them. */
const otherPrograms = ({ touchedPrograms }: Change): readonly Finding[] =>
  touchedPrograms.map((path) => ({ path, line: null, text: 'is not as a package manager has installed it' }));

const listed = (ids: readonly string[]): string => `the gate ${ids.join(', the gate ')}`;
