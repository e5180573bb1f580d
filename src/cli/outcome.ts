import type { Run } from './api.ts';
import { block, oneLine } from './legible.ts';
import type { Screen } from './terminal.ts';
import { plural } from './wording.ts';

export type Field = readonly [name: string, value: string | null];

const shownFiles = 30;
const shownFindings = 10;

/** What came of a run, beside how it ended. Nothing for one that had no repository, no agent and no check. */
export function outcomeFields(run: Run, paint: Screen['paint']): readonly Field[] {
  return [
    ['branch', run.branch && `${oneLine(run.branch)} (${plural(run.commits.length, 'commit')})`],
    ...fileFields(run, paint),
    ['check', checkOf(run, paint)],
    ...run.notGreen.map(
      ({ gate, summary }, index): Field => [index === 0 ? 'not green' : '', paint('yellow', `${oneLine(gate)}: ${oneLine(summary)}`)],
    ),
    ...roundFields(run, paint),
    ...deliveryFields(run),
    ['cost', costOf(run)],
  ];
}

const verdicts: Readonly<Record<NonNullable<Run['review']>['verdict'], string>> = {
  approve: 'It approves.',
  comment: 'It neither approves nor asks for changes.',
  'request-changes': 'It asks for changes.',
};

/** What a review says, and below it what it says about lines. */
export function reviewLines({ verdict, summary, comments }: NonNullable<Run['review']>, paint: Screen['paint']): readonly string[] {
  const said = comments.flatMap(({ path, line, startLine, side, text }) => {
    const lines = startLine === undefined ? `${line}` : `${startLine}–${line}`;
    const where = `${oneLine(path)}:${lines}${side === 'old' ? ' (taken out)' : ''}`;
    return ['', paint('bold', where), ...textLines(text).map((each) => `  ${each}`)];
  });
  const style = verdict === 'approve' ? 'green' : verdict === 'comment' ? 'yellow' : 'red';
  return [paint(style, verdicts[verdict]), ...textLines(summary), ...said];
}

const textLines = (text: string): readonly string[] => block(text).trimEnd().split('\n');

function fileFields({ filesChanged }: Run, paint: Screen['paint']): readonly Field[] {
  const shown = filesChanged.slice(0, shownFiles).map((file) => {
    const path = file.from === undefined ? oneLine(file.path) : `${oneLine(file.from)} → ${oneLine(file.path)}`;
    const kind = file.kind === 'modified' ? '' : ` (${file.kind})`;
    return `${path}${kind} ${sizeOf(file, paint)}`.trimEnd();
  });
  const rest = filesChanged.length - shown.length;
  return [...shown, ...(rest > 0 ? [`… and ${rest} more`] : [])].map((text, index): Field => [index === 0 ? 'changed' : '', text]);
}

function sizeOf({ additions, deletions, binary }: Run['filesChanged'][number], paint: Screen['paint']): string {
  if (binary) return 'binary';
  return additions === null || deletions === null ? '' : `${paint('green', `+${additions}`)} ${paint('red', `−${deletions}`)}`;
}

function checkOf({ tests }: Run, paint: Screen['paint']): string | null {
  if (tests === null) return null;
  const { passed, counts, exitCode } = tests;
  const verdict = passed ? 'passed' : exitCode === null ? 'did not end by itself' : `failed with exit code ${exitCode}`;
  const counted =
    counts === null ? '' : `: ${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}`;
  return `${paint(passed ? 'green' : 'red', `${verdict}${counted}`)} (${oneLine(tests.command.join(' '))})`;
}

/** One line a round, and below it whatever was not simply green. */
function roundFields({ rounds }: Run, paint: Screen['paint']): readonly Field[] {
  const lines = rounds.flatMap(({ number, verdicts, decision, rule }) => {
    const notable = verdicts.filter(({ kind, passed, excuse, findings }) => {
      const touchesChecks = kind === 'weakening' && findings.length > 0;
      return !passed || excuse !== null || touchesChecks;
    });
    const ended =
      decision === 'finish' ? paint('green', 'done') : decision === 'continue' ? 'went on' : paint('red', `given up: ${rule ?? ''}`);
    const green = verdicts.filter(({ passed, excuse }) => passed && excuse === null).length;
    return [
      `${number}. ${green} of ${plural(verdicts.length, 'gate')} green, ${ended}`,
      ...notable.flatMap(({ gate, passed, summary, findings }) => [
        `   ${paint(passed ? 'yellow' : 'red', oneLine(gate))}  ${oneLine(summary)}`,
        ...findings.slice(0, shownFindings).map(findingLine),
        ...(findings.length > shownFindings ? [`     … and ${findings.length - shownFindings} more`] : []),
      ]),
    ];
  });
  return lines.map((text, index): Field => [index === 0 ? 'rounds' : '', text]);
}

const findingLine = ({ path, line, text }: Run['rounds'][number]['verdicts'][number]['findings'][number]): string =>
  `     ${oneLine([path, line].filter((each) => each !== null).join(':'))} ${oneLine(text)}`;

function deliveryFields({ delivery }: Run): readonly Field[] {
  switch (delivery?.kind) {
    case undefined:
      return [];
    case 'pushed':
      return [['delivered', `pushed as ${oneLine(delivery.branch)}`]];
    case 'already-there':
      return [['delivered', `${oneLine(delivery.branch)} was there already`]];
    case 'left-in-mirror':
      return [['get it', oneLine(delivery.fetchCommand)]];
  }
}

function costOf({ tokens, costUsd, toolCalls, status }: Run): string | null {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = tokens;
  const read = inputTokens + cacheReadTokens + cacheWriteTokens;
  if (read + outputTokens + toolCalls === 0) return null;
  // Uses of tools are counted when the run is at its end.
  const calls = status === 'running' ? ' so far' : `, ${plural(toolCalls, 'tool call')}`;
  const digits = costUsd > 0 && costUsd < 0.1 ? 4 : 2;
  return `$${costUsd.toFixed(digits)}: ${grouped(read)} tokens read (${grouped(cacheReadTokens)} of them cached), ${grouped(outputTokens)} written${calls}`;
}

const grouped = (count: number): string => count.toLocaleString('en-US');
