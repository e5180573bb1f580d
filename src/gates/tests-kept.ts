import { posix } from 'node:path';
import type { Finding } from '../domain/gate.ts';
import type { ChangedFile, ChangedLine } from '../workspace/diff.ts';
import type { Change } from './gate.ts';
import { isTest, source } from './test-files.ts';

/** What a change does to the tests that were there: what is red, and what whoever reviews is told. */
export interface KeptTests {
  readonly grave: readonly Finding[];
  readonly told: readonly Finding[];
}

/**
 * Whether the tests still test. As many as before, under names that runners know, run, and with something in them that can fail.
 * Told by lines and names, so signs and no proofs.
 */
export async function testsKept(change: Change): Promise<KeptTests> {
  const withSubject = await removedWithSubject(change);
  const skipped = skippedTests(change.lines);
  const emptied = await emptiedTests(change);
  return {
    grave: [
      ...fewerTests(change, new Set(withSubject.map(({ path }) => path))),
      ...(await hiddenTests(change)),
      ...skipped.filter(({ guard }) => !guard).map(({ finding }) => finding),
      ...testsThatNeverRun(change),
      ...emptied.grave,
    ],
    told: [...withSubject, ...skipped.filter(({ guard }) => guard).map(({ finding }) => finding), ...leftEarly(change), ...emptied.told],
  };
}

const declaresTest =
  /^\s*(?:(?:export\s+)?(?:test|it)(?:\.(?:each|concurrent|only|fails|skipIf|runIf)\b[^(]{0,40})?\s*[(`]|(?:async\s+)?def\s+test\w*\s*\(|func\s+(?:\([^)]{0,80}\)\s*)?Test\w*\s*\(|#\[(?:tokio::)?test\]|@(?:Parameterized)?Test\b|(?:public\s+)?function\s+test\w*\s*\()/;
/** On one line, with nothing in it. */
const empty =
  /(?:(?:=>|\))\s{0,20}\{\s{0,20}\}\s{0,20}\)?|:\s{0,20}(?:pass|\.\.\.)|=>\s{0,20}(?:undefined|null|true|void 0)\s{0,20}\))\s{0,20};?\s{0,20}$/;

const holdsTests = (path: string): boolean => isTest(path) || path.endsWith('.rs');

/** Tests that are moved, renamed or rewritten are as many as before. One that is empty stands for none. */
function fewerTests({ files, lines, linesTruncated }: Change, excused: ReadonlySet<string | null>): readonly Finding[] {
  const declared = lines.filter(({ path, text }) => holdsTests(path) && !excused.has(path) && declaresTest.test(text));
  const gone = declared.filter(({ kind }) => kind === 'removed');
  const come = declared.filter(({ kind, text }) => kind === 'added' && !empty.test(text));
  const deleted = files.filter(({ path, kind }) => kind === 'deleted' && isTest(path) && !excused.has(path));
  const added = files.some(({ path, kind }) => kind === 'added' && isTest(path));
  if (gone.length > come.length) {
    const where = deleted[0]?.path ?? gone[0]?.path ?? null;
    return [{ path: where, line: null, text: `has lost tests: ${gone.length} are gone, ${come.length} have come` }];
  }
  // Nothing countable: then a deleted file must at least have a successor.
  const unexplained = gone.length === 0 && (linesTruncated || !added) ? deleted : [];
  return unexplained.map(({ path }) => ({ path, line: null, text: 'is a deleted file of tests' }));
}

/** What is no more needs no tests. A person is told, because what is gone may have been wanted. */
async function removedWithSubject({ files, before }: Change): Promise<readonly Finding[]> {
  const deleted = files.filter(({ kind, path }) => kind === 'deleted' && source.test(path));
  const subjects = deleted.filter(({ path }) => !isTest(path));
  const found = await Promise.all(
    deleted
      .filter(({ path }) => isTest(path))
      .map(async ({ path }) => {
        const subject = subjects.find((each) => placeOf(each.path) === placeOf(path)) ?? (await namesakeIn(path, subjects, before));
        return subject && { path, line: null, text: `is removed with ${subject.path}, which it tests` };
      }),
  );
  return found.filter((each) => each !== undefined);
}

async function namesakeIn(path: string, subjects: readonly ChangedFile[], before: Change['before']): Promise<ChangedFile | undefined> {
  const stem = stemOf(path);
  const found = /^(?:index|main|mod|__init__|test|tests)$/.test(stem) ? undefined : subjects.find((each) => stemOf(each.path) === stem);
  return found && (await before(path))?.includes(stem) ? found : undefined;
}

const stemOf = (path: string): string =>
  posix
    .basename(path)
    .replace(/\.\w+$/, '')
    .replace(/[._-](?:tests?|spec)$|^test_|(?<=[a-z])Tests?$/, '');
/** The same for a file and for its tests, wherever these are kept. */
const placeOf = (path: string): string =>
  [
    ...posix
      .dirname(path)
      .split('/')
      .filter((name) => !/^(?:\.|src|lib|main|java|kotlin|app|tests?|__tests__|specs?|unit)$/.test(name)),
    stemOf(path),
  ].join('/');

/** A file that goes on under a name by which no runner takes it for tests: not a line of it need have changed. */
async function hiddenTests({ files, before }: Change): Promise<readonly Finding[]> {
  const renamed = files.flatMap(({ path, from }) => (from !== undefined && isTest(from) && !isTest(path) ? [{ path, from }] : []));
  const held = await Promise.all(
    renamed.map(async ({ from }) => (await before(from))?.split('\n').some((line) => declaresTest.test(line))),
  );
  return renamed
    .filter((_, at) => held[at] === true)
    .map(({ path, from }) => ({ path: from, line: null, text: `is a file of tests, and none any more as ${path}` }));
}

const skips =
  /\b(?:test|it|describe|suite|context)(?:\.\w{1,20}){0,3}\.(?:skip|skipIf|runIf|fixme|only|fails|failing)\b|\b(?:describe|suite|context)\.todo\b|\b(?:t|ctx|this)\.(?:skip|todo)\s*\(|\b(?:xit|xtest|xdescribe|fit|fdescribe)\s*\(|\bpytest\.mark\.(?:skip|skipif|xfail)\b|\bpytest\.skip\s*\(|@unittest\.skip|\bself\.skipTest\s*\(|\bt\.(?:Skip|SkipNow|Skipf)\s*\(|#\[ignore\b|@(?:Disabled|Ignore)\b|@(?:Disabled|Enabled)(?:OnOs|If\w*)\b|\bSkipTest\b|\bcollect_ignore|[{,]\s*(?:skip|todo):\s*(?:true|['"`])|\[Ignore\b|\bSkip\s*=\s*"|\bmarkTest(?:Skipped|Incomplete)\b|\bXCTSkip|@tag\s+:skip\b/;
const platform =
  /process\.(?:platform|version|arch)\b|\bos\.(?:platform|type)\(|\bsys\.(?:platform|version_info)\b|\bplatform\.(?:system|machine|python_version)\b|\bos\.name\b|\bruntime\.(?:GOOS|GOARCH)\b|\btesting\.Short\(\)|\b(?:is|on)Windows\b|(?:Dis|En)abledOnOs\b/;

interface Skipped {
  readonly finding: Finding;
  /** For another platform than this one, as far as it says: whether less is run here, their number tells. */
  readonly guard: boolean;
}

/** A skip that was there before and only moved is none of this change. */
function skippedTests(lines: readonly ChangedLine[]): readonly Skipped[] {
  const skipping = lines.flatMap((line, at) => (holdsTests(line.path) && skips.test(line.text) ? [{ line, previous: lines[at - 1] }] : []));
  const before = skipping.filter(({ line }) => line.kind === 'removed').length;
  return skipping
    .filter(({ line }) => line.kind === 'added')
    .slice(before)
    .map(({ line: { path, line, text }, previous }) => {
      const above = previous?.path === path && /\bif\b/.test(previous.text) ? previous.text : '';
      const guard = [text, above].some((each) => platform.test(each) && !/linux|true|false/i.test(each));
      return { guard, finding: { path, line, text: guard ? 'skips tests on some platforms' : 'skips tests' } };
    });
}

/** Whether tests are to be left out on some platforms: then their number has to tell that it is not this one. */
export const guardsTests = ({ lines }: Change): boolean => skippedTests(lines).some(({ guard }) => guard);

const never =
  /\bif\s{0,20}\(?\s{0,20}(?:false|False|0|!1|!true|not True|1\s{0,5}={2,3}\s{0,5}2)\s{0,20}\)?\s{0,20}[:{]|\bwhile\s{0,20}\(\s{0,20}(?:false|0)\s{0,20}\)|#!?\[cfg\((?:any\(\)|FALSE|never|not\(test\))\)\]|\b__test__\s*=\s*False\b|\bassumeTrue\(\s*false|\bassumeFalse\(\s*true|^\s*#if\s+(?:0|false)\b|\b(?:process\.exit|os\.Exit|sys\.exit|os\._exit)\(\s*0\s*\)/;
const constraint = /^\/\/(?:go:build|\s*\+build)\s+(.{1,200})$/;
const knownConstraint =
  /^(?:[\s!&|(),]|linux|darwin|windows|unix|freebsd|netbsd|openbsd|js|wasm|amd64|arm64|386|arm|cgo|race|go1\.\d{1,3})+$/;

/** Whatever the file was before: tests in a new one are nothing that was lost. */
const existing = ({ files }: Change): ReadonlySet<string> =>
  new Set(files.filter(({ kind, path }) => kind !== 'added' && kind !== 'deleted' && holdsTests(path)).map(({ path }) => path));

function testsThatNeverRun(change: Change): readonly Finding[] {
  const paths = existing(change);
  const isNever = ({ text }: ChangedLine): boolean => {
    const tags = constraint.exec(text)?.[1];
    return never.test(text) || (tags !== undefined && !knownConstraint.test(tags)) || (declaresTest.test(text) && empty.test(text));
  };
  const found = change.lines.filter(
    (line) => paths.has(line.path) && (isTest(line.path) || /#!?\[cfg\(/.test(line.text) || declaresTest.test(line.text)) && isNever(line),
  );
  return moreThanBefore(found, (text) => (empty.test(text) && declaresTest.test(text) ? 'is an empty test' : 'keeps tests from being run'));
}

/** Of such lines, those beyond as many as were taken away: what is moved is not new. */
const moreThanBefore = (found: readonly ChangedLine[], say: (text: string) => string): readonly Finding[] =>
  found
    .filter(({ kind }) => kind === 'added')
    .slice(found.filter(({ kind }) => kind === 'removed').length)
    .map(({ path, line, text }) => ({ path, line, text: say(text) }));

/** Harmless in most places, and enough to have a test end before it tests anything. */
function leftEarly(change: Change): readonly Finding[] {
  const paths = existing(change);
  const found = change.lines.filter(
    ({ path, text }) =>
      paths.has(path) && isTest(path) && (/^return(?:\s+(?:null|undefined|None|true))?\s?;?$/.test(text.trim()) || constraint.test(text)),
  );
  return moreThanBefore(found, (text) => (constraint.test(text) ? 'has tests run on some platforms alone' : 'leaves a test early'));
}

const asserts =
  /\b(?:expect|assert|XCTAssert|EXPECT_|ASSERT_)\w*(?:\s*[.(!]|\s+\S)|(?<![.\w])(?:should|must|verify|check|ensure|equals?|deepEqual|strictEqual|notEqual|throws|rejects|raises|ok|fail|panic)\w*(?:\s*[(!]|\s+\d)|\b(?:require|t|tb|b|c)\.(?:Error|Fatal|Fail|No|Equal|True|False|Nil|Not|Len|Contains|is|same|like|not|throws|rejects|pass|true|false|deep|match)\w*\s*\(|\.(?:should|to|must)\b/g;
const quoted = /"(?:[^"\\]|\\.){0,300}"|'(?:[^'\\]|\\.){0,300}'|`(?:[^`\\]|\\.){0,300}`/g;
/** Says nothing of anything. */
const trivial =
  /\bassert\w*(?:!|\.\w{1,20})?\s{0,3}\(?\s{0,3}(?:true|True|1|not False)\s{0,3}(?:,[^()]*)?\)?\s{0,3};?$|\bexpect\(\s*(true|false|\d{1,9}|'[^']{0,40}'|"[^"]{0,40}")\s*\)\.(?:to\w+|not)\b[^()]{0,40}\(\s*(?:\1)?\s*\)|\bexpect\(\s*true\s*\)/;

const mostFiles = 300;

/** A test stays, and what it asks for goes: all of it, or some. Lines that are found again in another file have moved. */
async function emptiedTests(change: Change): Promise<KeptTests> {
  const paths = existing(change);
  const files = change.files.filter(({ path, from = path }) => paths.has(path) && holdsTests(from)).slice(0, mostFiles);
  const come = new Map<string, Set<string>>();
  for (const { kind, path, text } of change.lines) {
    if (kind !== 'added' || !holdsTests(path)) continue;
    const key = text.trim();
    come.set(key, (come.get(key) ?? new Set()).add(path));
  }
  const [grave, told]: [Finding[], Finding[]] = [[], []];
  for (const { path, from = path } of files) {
    const [was, is] = [countsIn(path, (await change.before(from)) ?? ''), countsIn(path, (await change.now(path)) ?? '')];
    if (is.commented > was.commented) grave.push({ path, line: null, text: 'has tests in a comment' });
    if (was.tests === 0 && !isTest(path)) continue;
    const moved = change.lines.filter(
      ({ kind, path: place, text }) =>
        kind === 'removed' && place === from && [...(come.get(text.trim()) ?? [])].some((each) => each !== path),
    );
    const lost = was.assertions - is.assertions - moved.reduce((sum, { text }) => sum + assertionsIn(text), 0);
    if (lost <= 0) continue;
    if (is.assertions === 0 && lost === was.assertions)
      grave.push({ path, line: null, text: `checks nothing any more (assertions before: ${was.assertions})` });
    else told.push({ path, line: null, text: `checks less (assertions before: ${was.assertions}, now: ${is.assertions})` });
  }
  return { grave, told };
}

function assertionsIn(line: string): number {
  const start = line.slice(0, 1_000).trimEnd();
  return trivial.test(start) ? 0 : (start.replaceAll(quoted, "''").match(asserts)?.length ?? 0);
}

function countsIn(path: string, text: string): { readonly tests: number; readonly commented: number; readonly assertions: number } {
  const hash = /\.(?:py|rb|exs?)$/.test(path);
  let [open, tests, commented, assertions] = [false, 0, 0, 0];
  for (const line of text.split('\n')) {
    if (!hash && !open && /^\s*\/\*/.test(line)) open = true;
    const isTestLine = declaresTest.test(line);
    if (open) {
      if (isTestLine) commented += 1;
      if (line.includes('*/')) open = false;
      continue;
    }
    if (isTestLine) tests += 1;
    if (!(hash ? /^\s*#/ : /^\s*(?:\/\/|import\b|use\b|(?:const|let|var)\b.{0,100}\brequire\()/).test(line))
      assertions += assertionsIn(line);
  }
  return { tests, commented, assertions };
}
