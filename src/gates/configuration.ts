import type { Finding } from '../domain/gate.ts';
import type { ChangedFile, ChangedLine } from '../workspace/diff.ts';
import { detectGates, isReal, parseManifest, scriptNames } from './detect.ts';
import type { Change } from './gate.ts';
import type { GoesBy } from './goes-by.ts';
import { targetsIn } from './makefile.ts';
import { gatesFile } from './settings.ts';
import { isTest } from './test-files.ts';

/** Files that say what the gates are, or what of the files they look at. */
export const configuration =
  /(?:^|\/)(?:package\.json|tsconfig[\w.-]*\.json|jsconfig\.json|biome\.jsonc?|\.?(?:eslint|oxlint|prettier|stylelint)[\w.-]*|(?:vitest|vite|jest|karma|playwright|cypress|mocha)\.(?:config|workspace)\.\w+|\.mocharc\.\w+|\.nycrc(?:\.\w+)?|\.c8rc(?:\.\w+)?|pyproject\.toml|setup\.cfg|tox\.ini|pytest\.ini|mypy\.ini|\.coveragerc|ruff\.toml|\.flake8|codecov\.ya?ml|sonar-project\.properties|\.golangci\.ya?ml|clippy\.toml|pom\.xml|build\.gradle(?:\.kts)?|Makefile|makefile|noxfile\.py|lefthook\.ya?ml|\.pre-commit-config\.yaml)$|(?:^|\/)(?:\.github\/workflows|\.circleci|\.husky|\.buildkite)\/|(?:^|\/)(?:\.gitlab-ci\.yml|Jenkinsfile|azure-pipelines\.yml)$/;
const ci = /(?:^|\/)(?:\.github\/workflows|\.circleci|\.buildkite)\/|(?:^|\/)(?:\.gitlab-ci\.yml|Jenkinsfile|azure-pipelines\.yml)$/;

/** What the programs go by that gates are run with. It says nothing of gates, and can have them do nothing at all. */
const steering =
  /(?:^|\/)(?:\.npmrc|\.yarnrc(?:\.yml)?|\.pnpmfile\.cjs|bunfig\.toml|turbo\.json|nx\.json|GNUmakefile|[\w.-]+\.mk|conftest\.py|Cargo\.toml|mvnw|gradlew|settings\.gradle(?:\.kts)?)$|(?:^|\/)(?:\.cargo|\.mvn)\//;

/** Whether there are other tests to be run than before, as far as names can tell: then their number has to. */
export const mayRunOtherTests = ({ files }: Change, by: GoesBy): boolean =>
  files.some((file) => isConfiguration(file) || isSteering(file) || isGoneBy(file, by));

export const isGoneBy = ({ path, from = path }: ChangedFile, by: GoesBy): boolean => by.has(path) || by.has(from);

/**
 * Of what a command goes by, the changed files that can be put back for it to be held against: not what it expects of the work
 * (tests change with it), and not settings that the work itself needs, which are looked at line by line.
 */
export const heldFiles = ({ files }: Change, by: GoesBy): readonly string[] =>
  files.flatMap(({ path, from = path, kind }) => {
    if (kind === 'added' || kind === 'copied' || !by.has(from)) return [];
    if (isTest(from) || /(?:^|[/._-])(?:tests?|specs?)(?:[/._-]|$)/i.test(from)) return [];
    return configuration.test(from) && !/(?:^|\/)[Mm]akefile$/.test(from) ? [] : [from];
  });

export const isSteering = ({ path, from = path }: ChangedFile): boolean => steering.test(path) || steering.test(from);
const isConfiguration = ({ path, from = path }: ChangedFile): boolean => configuration.test(path) || configuration.test(from);

/** What the change does to commands and settings so that gates ask for less, or look at less. */
export async function weakerConfiguration(change: Change): Promise<readonly Finding[]> {
  const touched = change.files.filter(isConfiguration);
  const fresh = await weakensNothing(change);
  const texts = await Promise.all(
    touched
      .filter(({ path }) => !fresh.has(path))
      .map(async ({ path, from = path }): Promise<Edit> => {
        const [before, now] = await Promise.all([change.before(from), change.now(path)]);
        return { path, before: (before ?? '').slice(0, longestText), now: (now ?? '').slice(0, longestText + 1) };
      }),
  );
  const grave = texts.flatMap((edit) => [
    ...(edit.now.length > longestText ? [whole(edit.path, 'is too long to be looked at')] : []),
    ...(edit.path === 'package.json' ? otherScripts(edit) : []),
    ...(/^[Mm]akefile$/.test(edit.path) ? otherRecipes(edit) : []),
    ...narrowedChoice(edit),
    ...silencedRules(edit),
  ]);
  const held = change.lines.filter(({ path }) => !fresh.has(path));
  return [...grave, ...(await anotherMakefile(change)), ...loosened(held), ...lessCi(touched, change.lines)];
}

/**
 * New files that no gate has gone by: without them the compiler had nothing to go by, CI did not run what they say, and where
 * there was no gate at all nothing can be made easier. Another program's settings may stand in the place of what it does by itself.
 */
async function weakensNothing({ files, before }: Change): Promise<ReadonlySet<string>> {
  const added = files.filter(({ kind, path }) => kind === 'added' && configuration.test(path));
  const gates = added.length === 0 ? [] : await detectGates(before);
  const asked = await before(gatesFile);
  const harmless = added.filter(
    ({ path }) => (gates.length === 0 && asked === undefined) || ci.test(path) || /(?:^|\/)[jt]sconfig[\w.-]*\.json$/.test(path),
  );
  return new Set(harmless.map(({ path }) => path));
}

/** Nobody writes a longer one. */
const longestText = 256 * 1024;

/** make reads it instead of the Makefile that gates are found in. */
async function anotherMakefile({ files, before }: Change): Promise<readonly Finding[]> {
  const come = files.some(({ path, kind }) => path === 'GNUmakefile' && (kind === 'added' || kind === 'renamed'));
  const hides = come && ((await before('Makefile')) ?? (await before('makefile'))) !== undefined;
  return hides ? [whole('GNUmakefile', 'takes the place of the Makefile')] : [];
}

interface Edit {
  readonly path: string;
  readonly before: string;
  readonly now: string;
}

/** What a build does is the work of many changes; what tests, types and lint do is hardly ever. */
const judging = [...scriptNames.tests, ...scriptNames.types, ...scriptNames.lint];
const whole = (path: string, text: string): Finding => ({ path, line: null, text });

/** Scripts that are gates, and those that they call: what was run must still be. */
function otherScripts({ path, before, now }: Edit): readonly Finding[] {
  const was = parseManifest(before)?.scripts ?? {};
  const is = parseManifest(now)?.scripts ?? {};
  const names = Object.values(scriptNames).flat();
  const gone = names.filter((name) => isReal(was[name]) && !isReal(is[name]));
  const other = reached(
    names.filter((name) => judging.includes(name as never) && isReal(was[name])),
    (name) => calledBy(was, name),
  ).filter((name) => !gone.includes(name as never) && !keeps(was[name], is[name]));
  return [
    ...gone.map((name) => whole(path, `has no real script "${name}" any more`)),
    ...other.map((name) => whole(path, `runs another command as "${name}": ${shown(is[name])} in the place of ${shown(was[name])}`)),
  ];
}

type Scripts = Readonly<Record<string, unknown>>;
const shown = (script: unknown): string => (typeof script === 'string' ? JSON.stringify(script.slice(0, 100)) : 'nothing');

function calledBy(scripts: Scripts, name: string): readonly string[] {
  const script = scripts[name];
  if (typeof script !== 'string') return [];
  const words = /\b(?:npm|pnpm|yarn|bun|turbo|nx|run-[sp]|npm-run-all|concurrently|wireit)\b/.test(script)
    ? (script.match(/[\w:.-]+/g) ?? [])
    : [];
  return [...words, `pre${name}`, `post${name}`].filter((each) => Object.hasOwn(scripts, each));
}

/** The commands of the one are all in the other, and nothing makes their answer count for less. */
function keeps(before: unknown, now: unknown): boolean {
  if (before === now) return true;
  if (typeof before !== 'string' || typeof now !== 'string') return false;
  if ([before, now].every((script) => allTests.test(script.replaceAll(tellsMore, '').trim()))) return true;
  const parts = (script: string): readonly string[] => script.split('&&').map((part) => part.trim().replaceAll(/\s+/g, ' '));
  const is = parts(now);
  const plain = is.map((part) => part.replaceAll(tellsMore, '').replace(/ --$/, ''));
  return (
    parts(before).every((part) => is.includes(part) || plain.includes(part)) &&
    is.every((part) => !/[;|&]/.test(part) || parts(before).includes(part))
  );
}

/** What has a test runner say or measure more, and run the same. */
const tellsMore = /\s--(?:coverage|ci|verbose|experimental-[\w-]{1,60})(?=\s|$)/g;

/** All that a runner finds by itself: another one in its place is no less, if as many tests are run, and they are counted. */
const allTests = /^(?:npx )?(?:jest|vitest(?: run)?|mocha|ava|node --test|bun test|(?:python3? -m )?pytest)$/;

/** All that can be come to from some names. */
function reached(from: readonly string[], next: (name: string) => readonly string[]): readonly string[] {
  const found = new Set(from);
  for (const name of found) for (const each of next(name)) found.add(each);
  return [...found];
}

function otherRecipes({ path, before, now }: Edit): readonly Finding[] {
  const [was, is] = [targetsIn(before), targetsIn(now)];
  const gates = Object.values(scriptNames)
    .flat()
    .filter((name) => was.has(name) && (name !== 'build' || !is.has(name)));
  const changed = reached(gates, (name) => {
    const { needs = [], recipe = [] } = was.get(name) ?? {};
    const called = recipe.flatMap((line) => /(?:\$\(MAKE\)|\bmake)\s+([\w.-]+)/.exec(line)?.[1] ?? []);
    return [...needs, ...called].filter((each) => was.has(each));
  }).flatMap((name) => {
    const [old, fresh] = [was.get(name), is.get(name)];
    if (!old) return [];
    if (!fresh) return [whole(path, `has no target "${name}" any more`)];
    const lost = [...old.recipe.filter((line) => !fresh.recipe.includes(line)), ...old.needs.filter((each) => !fresh.needs.includes(each))];
    return lost.length === 0 ? [] : [whole(path, `does something else for "${name}": without ${shown(lost[0])}`)];
  });
  const careless =
    /^(?:\.IGNORE\b|SHELL\s*[:?+]?=(?!\s*(?:(?:\/usr)?\/bin\/)?(?:env\s+)?(?:ba|da|z)?sh\s*$)|\.SHELLFLAGS\s*[:?+]?=(?!\s*(?:-[eux]+\s+|-o\s+pipefail\s+)*-[eux]{0,3}c\s*$)|MAKEFLAGS\s*[:?+]?=.*(?:i|-k))/m;
  return careless.test(now) && !careless.test(before) ? [...changed, whole(path, 'no longer minds what fails')] : changed;
}

/** Lists that gates leave out by: longer is weaker. And those that they choose by: shorter is. */
const leaves =
  'exclude|excludes|extend[-_]exclude|force[-_]exclude|ignore|ignores|extend[-_]ignore|ignorePatterns|globalIgnores|testIgnore|per[-_]file[-_]ignores|disable|disable_error_code|testPathIgnorePatterns|modulePathIgnorePatterns|coveragePathIgnorePatterns|excludeSpecPattern|omit|norecursedirs|collect_ignore|collect_ignore_glob';
const chooses =
  'include|includes|testMatch|testRegex|testpaths|testDir|roots|python_files|python_classes|python_functions|specPattern|select|extend[-_]select|enable|enable_error_code|addopts';
const listKey = new RegExp(`(?:^|[\\s,{(\\["'.])(?:(${leaves})|(${chooses}))(?:["'\\]]{0,2}\\s{0,20}[:=]|(?=\\())`, 'gm');
/** What nobody wants to be looked at. */
export const made =
  /node_modules|\b(?:dist|build|coverage|vendor|target|generated|migrations)\b|\.git\b|venv|\.next|\.d\.ts|\.egg|__pycache__|(?:^|\/)\.\w{1,20}cache\b/;
const choosing = /^(?:-k|-m|--ignore|--deselect|--collect-only|--co\b|-p\b|--maxfail|-x$|--exitfirst)/;

/** Only files that configure gates alone, or what of the others does. */
function partFor({ path }: Pick<Edit, 'path'>, text: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (name === 'package.json')
    return ['jest', 'vitest', 'eslintConfig', 'nyc', 'c8', 'mocha', 'ava'].map((key) => blockOf(text, key)).join('\n');
  if (name.startsWith('vite.config')) return blockOf(text, 'test');
  if (name === 'pyproject.toml' || name === 'setup.cfg' || name === 'tox.ini') return toolSections(text);
  // There such words are about packages.
  return ci.test(path) || /^(?:pom\.xml|build\.gradle|[Mm]akefile|noxfile)/.test(name) ? '' : text;
}

function blockOf(text: string, key: string): string {
  const { from, to } = blockIn(text, key);
  return text.slice(from, to);
}

function blockIn(text: string, key: string): { readonly from: number; readonly to: number } {
  const at = text.search(new RegExp(`\\b${key}["']?\\s{0,20}:\\s{0,20}\\{`));
  if (at < 0) return { from: 0, to: 0 };
  const from = text.indexOf('{', at);
  return { from, to: from + bracketed(text, from).length };
}

function meansTests(pattern: string): boolean {
  const sample = pattern.replace(/\{([^,{}]{0,80})[^{}]{0,200}\}/, '$1').replaceAll('*', 'x');
  return isTest(sample) || isTest(`${sample.replace(/\/$/, '')}/x.ts`);
}

const toolSections = (text: string): string =>
  text
    .split(/^(?=\[)/m)
    .filter((section) => /^\[+(?:tool[.:])?(?:pytest|coverage|ruff|mypy|pylint|flake8|pyright|run|report)\b/.test(section))
    .join('');

/** From an opening bracket to the one that closes it. */
function bracketed(text: string, from: number): string {
  let depth = 0;
  for (let at = from; at < Math.min(text.length, from + 20_000); at++) {
    const char = text[at] as string;
    if ('[{('.includes(char)) depth += 1;
    else if (']})'.includes(char) && --depth === 0) return text.slice(from, at + 1);
  }
  return text.slice(from, from + 20_000);
}

type Lists = ReadonlyMap<string, readonly string[]>;

function listsIn(text: string): { readonly left: Lists; readonly chosen: Lists } {
  const [left, chosen] = [new Map<string, string[]>(), new Map<string, string[]>()];
  const coverage = blockIn(text, 'coverage');
  let next = 0;
  for (const match of text.matchAll(listKey)) {
    const [said, leaving, choice] = match;
    if (match.index < next) continue; // within the list before it
    const from = match.index + said.length;
    const rest = text.slice(from, from + 20_000);
    const opening = /^\s{0,100}[[{(]/.exec(rest)?.[0];
    const value = opening ? bracketed(text, from + opening.length - 1) : (/^.*(?:\n[ \t]+\S.*)*/.exec(rest)?.[0] ?? '');
    next = from + (opening?.length ?? 1) - 1 + value.length;
    const items = opening
      ? [...value.matchAll(/"([^"\n]*)"|'([^'\n]*)'|`([^`\n]*)`|\/((?:[^/\\\n]|\\.)+)\//g)].map(
          ([, ...each]) => each.find((item) => item !== undefined) ?? '',
        )
      : value.replaceAll(/#.*$/gm, '').split(/[\s,"'`]+/);
    const [lists, key] = leaving ? [left, leaving] : [chosen, choice ?? ''];
    // Nobody asks for tests to be covered by tests.
    const ofCoverage = /^(?:omit|coverage)/.test(key) || (match.index >= coverage.from && match.index < coverage.to);
    const counted = items.filter((item) => item !== '' && !(ofCoverage && leaving && meansTests(item)));
    lists.set(key, [...(lists.get(key) ?? []), ...counted]);
  }
  return { left, chosen };
}

function narrowedChoice(edit: Edit): readonly Finding[] {
  const { path } = edit;
  const [before, now] = [listsIn(partFor(edit, edit.before)), listsIn(partFor(edit, edit.now))];
  const left = [...now.left].flatMap(([key, items]) => {
    const more = items.find((item) => !made.test(item) && !before.left.get(key)?.includes(item));
    return more === undefined ? [] : [whole(path, `leaves out more (${key}: ${more.slice(0, 80)})`)];
  });
  const chosen = [...before.chosen].flatMap(([key, items]) => {
    const lost = items.find((item) => !now.chosen.get(key)?.includes(item));
    return lost === undefined || edit.now === '' ? [] : [whole(path, `no longer chooses ${lost.slice(0, 80)} (${key})`)];
  });
  const options = (now.chosen.get('addopts') ?? []).filter((item) => choosing.test(item) && !before.chosen.get('addopts')?.includes(item));
  return [...left, ...chosen, ...options.map((item) => whole(path, `runs a part of the tests (${item.slice(0, 80)})`))];
}

const lintFile = /(?:^|\/)(?:\.?(?:eslint|oxlint|stylelint)[\w.-]*|biome\.jsonc?|package\.json)$/;
const ruleLine = /(?<![@\w/-])["'`]?([@\w/-]{3,80})["'`]?\s{0,10}:\s{0,10}\[?\s{0,10}(?:["'](off|warn|error)["']|([012])\b)/g;
const severities = ['off', 'warn', 'error'];

function silencedRules(edit: Edit): readonly Finding[] {
  if (!lintFile.test(edit.path)) return [];
  const [before, now] = [rulesIn(partFor(edit, edit.before)), rulesIn(partFor(edit, edit.now))];
  const lower = [...now].filter(([rule, severity]) => severity < (before.get(rule) ?? 1));
  return lower.map(([rule, severity]) => whole(edit.path, `sets the rule ${rule} to ${severities[severity]}`));
}

function rulesIn(text: string): ReadonlyMap<string, number> {
  const rules = new Map<string, number>();
  for (const [, rule = '', word, number] of text.matchAll(ruleLine)) {
    // What is a number may be anything, but names of two words are rules.
    if (word === undefined && !/[-/]/.test(rule)) continue;
    const severity = word === undefined ? Number(number) : severities.indexOf(word);
    rules.set(rule, Math.min(severity, rules.get(rule) ?? severity));
  }
  return rules;
}

const looser: readonly RegExp[] = [
  /\b(skipLibCheck|noCheck|allowUnreachableCode|allowUnusedLabels|passWithNoTests|ignoreFailures|testFailureIgnore|maven\.test\.failure\.ignore|skipTests|maven\.test\.skip|ignore_errors|ignore_missing_imports|allow_failure|continue-on-error|continueOnError)\b["']?\s{0,10}[:=>]\s{0,10}["']?(?:true|True|1)\b/,
  /["'](recommended|enabled)["']\s{0,10}:\s{0,10}false\b/,
  /(--passWithNoTests|--pass-with-no-tests|-DskipTests|-Dmaven\.test\.skip|--exit-zero|--no-verify)\b/,
  /^\s{0,10}(script-shell)\s{0,10}=/,
  /\b(if):\s{0,10}(?:false|\$\{\{\s{0,5}false\s{0,5}\}\})\s*$/,
  /(\|\|\s{0,5}(?:true|:|exit 0))\s*$/,
];

/** A switch that makes a gate mind less, where none was before. */
function loosened(lines: readonly ChangedLine[]): readonly Finding[] {
  const count = new Map<string, number>();
  const found = lines.flatMap(({ path, kind, line, text }) => {
    if (!configuration.test(path) && !steering.test(path)) return [];
    // What it takes lightly beside its gates is its own affair; those are held against what they were.
    const forms = /(?:^|\/)(?:[Mm]akefile|package\.json)$/.test(path) ? looser.slice(0, -1) : looser;
    return forms.flatMap((form) => {
      const what = form.exec(text)?.[1];
      if (what === undefined) return [];
      const key = `${path}\n${what}`;
      count.set(key, (count.get(key) ?? 0) + (kind === 'removed' ? 1 : 0));
      return kind === 'added' ? [{ path, line, key, text: `makes a gate mind less (${what})` }] : [];
    });
  });
  return found.flatMap(({ key, ...finding }) => {
    const before = count.get(key) ?? 0;
    count.set(key, before - 1);
    return before > 0 ? [] : [finding];
  });
}

const ciCommand =
  /^(?:-\s{0,5})?(?:run:\s{0,5}|script:\s{0,5})?((?:npm|pnpm|yarn|bun|npx|make|pytest|python3?|cargo|go|mvn|\.\/mvnw|gradle|\.\/gradlew|tox|nox|ruff|mypy|eslint|tsc|vitest|jest)\b.*\b(?:test|tests|pytest|lint|check|types|typecheck|tsc|vet|clippy|coverage|verify)\b.*)$/;

/** What nobody here runs, and everybody relies on. */
function lessCi(files: readonly ChangedFile[], lines: readonly ChangedLine[]): readonly Finding[] {
  const gone = files.filter(({ path, kind }) => kind === 'deleted' && ci.test(path)).map(({ path }) => whole(path, 'is gone'));
  const commands = lines.flatMap(({ path, kind, line, text }) => {
    const command = ci.test(path) ? ciCommand.exec(text.trim().slice(0, 500))?.[1] : undefined;
    return command === undefined ? [] : [{ path, kind, line, command }];
  });
  const added = commands.flatMap(({ kind, command }) => (kind === 'added' ? [command] : []));
  const lost = commands.filter(
    ({ path, kind, command }) =>
      kind === 'removed' && !added.some((each) => keeps(command, each)) && gone.every((each) => each.path !== path),
  );
  return [...gone, ...lost.map(({ path, line, command }) => ({ path, line, text: `no longer runs ${command.slice(0, 80)}` }))];
}
