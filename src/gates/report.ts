import type { Finding, GateExcuse, GateVerdict, NotGreen } from '../domain/gate.ts';

const adviceFor: Readonly<Record<GateExcuse, string>> = {
  'red-before': 'If your task is to make it green, go on. If it has nothing to do with your task, leave it as it is and say so.',
  'cannot-run': 'If you can install what is missing, do, so that your work can be checked. If you cannot, say so.',
  flaky: 'It is flaky.',
};

const longestOutput = 4_000;
const shownFindings = 10;

/** What the agent is told when it has stopped and gates are red: each with the important end of what it said. */
export function reportOf(red: readonly GateVerdict[], round: number, rounds: number): string {
  const gates = red.map(({ gate, summary, findings, output, excuse }) => {
    const listed = findings.slice(0, shownFindings).map(({ path, line, text }) => `- ${placeOf({ path, line })} ${text}`);
    const more = findings.length > shownFindings ? [`- and ${findings.length - shownFindings} more`] : [];
    const printed = output === null ? [] : ['```', output.slice(-longestOutput).trim(), '```'];
    const before = excuse === null ? [] : [adviceFor[excuse]];
    return [`## ${gate}`, summary, ...before, ...listed, ...more, ...printed].join('\n');
  });
  return [
    `You stopped, but the work is not done: ${red.length === 1 ? 'a check is' : `${red.length} checks are`} red (round ${round} of at most ${rounds}).`,
    ...gates,
    'Find the cause and mend it. Do not delete, skip or weaken tests or checks to get past them. Stop when you are done; the checks are run again then.',
  ].join('\n\n');
}

/** For a person: what was taken although it was not green, without a full stop. */
export function sayExcuse({ gate, excuse, summary }: NotGreen): string {
  const what = summary.replace(/\.$/, '');
  switch (excuse) {
    case 'red-before':
      return `the gate ${gate} was red before and still is: ${what}`;
    case 'cannot-run':
      return `the gate ${gate} could not be asked: ${what}`;
    case 'flaky':
      return `the gate ${gate} is flaky: ${what}`;
  }
}

const mostTold = 10;
const longestFinding = 300;

/** For a person: what the change does to the checks that speak for it. Nothing where it leaves them alone. */
export function sayWeakening(verdicts: readonly GateVerdict[]): readonly string[] {
  const findings = verdicts.flatMap((verdict) => (verdict.kind === 'weakening' && verdict.passed ? verdict.findings : []));
  if (findings.length === 0) return [];
  const lines = findings
    .slice(0, mostTold)
    .map((finding) => `- ${`${placeOf(finding)} ${finding.text}`.replaceAll(/\s+/g, ' ').slice(0, longestFinding)}`);
  const more = findings.length > mostTold ? [`- and ${findings.length - mostTold} more`] : [];
  return [['This changes what its own checks go by; look at it before you trust them:', ...lines, ...more].join('\n')];
}

const placeOf = ({ path, line }: Pick<Finding, 'path' | 'line'>): string => [path, line].filter((each) => each !== null).join(':');

/** What is red, for a person, in one line. */
export const namesOf = (red: readonly GateVerdict[]): string =>
  red.map(({ gate, summary }) => `${gate} (${summary.replace(/\.$/, '')})`).join('; ');
