import type { GateKind } from './gate.ts';

/** A task is read no further: what it is about stands at its beginning. */
const longestText = 20_000;
const longestLine = 1_000;

const everyCheck = 'ci|pipelines?|workflows?|checks?|gates?';
const subjects: Readonly<Partial<Record<GateKind, string>>> = {
  tests: `tests?|specs?|suite|${everyCheck}`,
  build: `builds?|compil(?:es?|er|ing|ation)|${everyCheck}`,
  types: `types?|type ?errors?|type-?check(?:s|ing)?|tsc|mypy|${everyCheck}`,
  lint: `lint(?:s|er|ing)?|lint errors?|eslint|biome|ruff|clippy|vet|${everyCheck}`,
};

/** Words between that do not lead to something else: "fix the crash and add a test" wants no red test to be mended. */
const between = (most: number): string => String.raw`(?:(?!(?:and|or|for|of|with|when|if|whether|where|to|in)\s)[\w./"'-]+\s+){0,${most}}?`;

function phrases(subject: string): readonly RegExp[] {
  const what = `(?:${subject})\\b`;
  return [
    `\\b(?:fix|fixes|fixing|repair|mend|unbreak|clean up)\\s+${between(3)}${what}`,
    `\\b(?:failing|failed|broken|red|flaky)\\s+${between(2)}${what}`,
    `\\b${what}\\S{0,100}\\s+${between(4)}(?:to\\s+)?(?:fail(?:s|ed|ing|ures?)?|red|broken|flaky|green|pass(?:es|ing)?|breaks?|crash(?:es|ing)?|complains?)\\b`,
    `\\b(?:complaints?|errors?|failures?|warnings?)\\s+(?:of|by|from|in)\\s+${between(2)}${what}`,
  ].map((phrase) => new RegExp(phrase, 'i'));
}

/**
 * Whether a task asks for such a gate to become green: then it is no excuse that it was red before. Told by words, in English;
 * `verify` of a task and `required` of a repository say it for certain.
 */
export function asksForGreen(text: string, kind: GateKind): boolean {
  const subject = subjects[kind];
  if (subject === undefined) return false;
  const lines = text.slice(0, longestText).split('\n');
  return phrases(subject).some((phrase) => lines.some((line) => phrase.test(line.slice(0, longestLine))));
}
