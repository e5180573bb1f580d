import { posix } from 'node:path';
import { parseManifest } from './detect.ts';
import { matchesGlob } from './glob.ts';
import { targetsIn } from './makefile.ts';
import { isTest, source } from './test-files.ts';

/** The files that say what a command does. A name may be one of a file that is not there yet. */
export interface GoesBy {
  has(path: string): boolean;
}

type Read = (path: string) => Promise<string | undefined>;

/** Something that names files: a line of commands as a shell, make or a package's script has them, or a program. */
interface Text {
  readonly text: string;
  /** Where it lies: names may be meant from there, or from the root. */
  readonly directory: string;
  readonly form: 'commands' | 'program';
}

/** Enough for what people write; whoever wants to get past this by its length changes a file that is among the first. */
const most = { files: 100, names: 2_000, looks: 200_000, places: 10, characters: 64 * 1024 };

/**
 * Follows a command through what it names: scripts of package.json, targets, variables and includes of a Makefile, scripts of
 * the shell and all that they name, programs and what they import from beside them. By names alone, and so not to the end: a
 * name that is put together, an installed package and what a program finds by itself are not seen. What is looked at rather
 * than run (`eslint src/a.ts`) is told apart by the words around it, and what a test imports is what it tests.
 */
export async function goesBy(argv: readonly string[], read: Read): Promise<GoesBy> {
  const [names, patterns, known] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const scripts = parseManifest(await read('package.json'))?.scripts ?? {};
  const makefile = await firstOf(read, ['GNUmakefile', 'Makefile', 'makefile']);
  const targets = targetsIn(makefile?.text ?? '');
  const waiting: Text[] = [{ text: argv.join(' '), directory: '', form: 'commands' }];
  let [files, looks] = [0, 0];

  /** Once each, whoever calls it. */
  const called = (kind: string, name: string, texts: () => readonly string[]): void => {
    if (known.has(`${kind} ${name}`)) return;
    known.add(`${kind} ${name}`);
    for (const text of texts()) waiting.push({ text, directory: '', form: 'commands' });
  };
  const follow = ({ text, form }: Text): void => {
    if (form !== 'commands') return;
    const words = text.split(/[\s"'`;|&()=]+/).map((word) => word.replace(/^npm:/, ''));
    if (runsScripts.test(text)) {
      names.add('package.json');
      for (const name of words.flatMap((word) => scriptsMeant(scripts, word)))
        called('script', name, () => [name, `pre${name}`, `post${name}`].flatMap((each) => textOf(scripts, each)));
    }
    if (!makefile || !/\bmake\b|\$\(MAKE\)/.test(text)) return;
    names.add(makefile.path);
    called('make', '', () => [settingsOf(makefile.text)]);
    for (const name of words) {
      const target = targets.get(name);
      if (target) called('target', name, () => [...target.recipe, `make ${target.needs.filter((each) => targets.has(each)).join(' ')}`]);
    }
  };

  for (const each of waiting) {
    if (looks > most.looks) break;
    follow(each);
    for (const name of each.form === 'commands' ? namedIn(each) : importedBy(each)) {
      looks += 1;
      if (looks > most.looks || names.size >= most.names || files >= most.files) break;
      if (name.includes('*')) patterns.add(name);
      if (name.includes('*') || names.has(name)) continue;
      names.add(name);
      const text = isFollowed(name) ? (await read(name))?.slice(0, most.characters) : undefined;
      if (text === undefined) continue;
      files += 1;
      const form = isProgram(name, text) ? 'program' : 'commands';
      if (form === 'commands' || !isTest(name)) waiting.push({ text, directory: posix.dirname(name).replace(/^\.$/, ''), form });
    }
  }
  return { has: (path) => names.has(path) || [...patterns].some((pattern) => matchesGlob(path, pattern)) };
}

const runsScripts = /\b(?:npm|pnpm|yarn|bun|turbo|nx|run-[sp]|npm-run-all|concurrently|wireit)\b/;

const textOf = (scripts: Readonly<Record<string, unknown>>, name: string): readonly string[] => {
  const script = Object.hasOwn(scripts, name) ? scripts[name] : undefined;
  return typeof script === 'string' ? [script.slice(0, most.characters)] : [];
};

/** `lint:*` is each of that family. */
const scriptsMeant = (scripts: Readonly<Record<string, unknown>>, word: string): readonly string[] =>
  word.endsWith(':*')
    ? Object.keys(scripts).filter((name) => name.startsWith(word.slice(0, -1)))
    : Object.hasOwn(scripts, word)
      ? [word]
      : [];

async function firstOf(read: Read, paths: readonly string[]): Promise<{ readonly path: string; readonly text: string } | undefined> {
  for (const path of paths) {
    const text = await read(path);
    if (text !== undefined) return { path, text: text.slice(0, most.characters) };
  }
  return undefined;
}

/** Of a Makefile: variables and what it includes, which any recipe may use. */
const settingsOf = (makefile: string): string =>
  makefile
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => /^\s{0,20}(?:-?include|sinclude|(?:export\s+|override\s+)?[\w.-]+\s{0,20}[:?+]{0,2}=)/.test(line))
    .join('\n');

const isProgram = (path: string, text: string): boolean =>
  source.test(path) || (!/\.(?:sh|bash|zsh|mk)$/.test(path) && /^#!.*\b(?:node|deno|bun|python|ruby|perl|php)/.test(text));
/** What settings name is for those who read them, and known for itself (`configuration.ts`). */
const isFollowed = (path: string): boolean =>
  !/\.(?:json[c5]?|ya?ml|toml|ini|cfg|conf|xml|txt|md)$/.test(path) && !/(?:^|\/)[Mm]akefile$/.test(path);

/** What runs a file that it is given, and what has one read. */
const runner =
  /^(?:\S*\/)?(?:node|tsx|ts-node|bun|deno|python[\d.]*|ruby|perl|php|(?:ba|z|da|k)?sh|env|exec|source|\.|include|-include|sinclude)$/;
const loading = /^(?:-c|-r|-f|-m|--config|--require|--import|--loader|--rcfile|--file)$/;
const script = /(?:^|\/)\.?[\w-]+$|\.(?:sh|bash|zsh|fish|mk|make|awk|sed|json[c5]?|ya?ml|toml|ini|cfg|conf|rc|bat|ps1|cmake|xml)$/;
const endings = ['', '.js', '.mjs', '.cjs', '.ts', '.mts', '.py', '/index.js', '/index.ts'];

/** One after the other: of a hostile script there are millions, and nobody asks for all. */
function* namedIn({ text, directory }: Text): Generator<string> {
  const plain = text.replaceAll(/\$\([^()\n]{0,200}\)\/|\$\{?\w{1,100}\}?\/|\$\{[^{}\n]{0,200}\}\//g, '**/');
  const entered = [...plain.matchAll(/(?:\bcd|\s-C|\s--prefix)\s{1,20}([\w./-]{1,200})/g)].map(([, place = '']) => place);
  const places = [...new Set(['', directory, ...entered])].slice(0, most.places);
  for (const piece of plain.split(/[\n;|&()]+/)) {
    const words = piece.split(/[\s"'`=<>{},$@]+/).filter((word) => word !== '' && word.length <= 200);
    const runs = words.some((word) => runner.test(word));
    for (const [at, word] of words.entries()) {
      const before = words[at - 1] ?? '';
      if (word.startsWith('-') || !(script.test(word) || runs || at === 0 || word.startsWith('./') || loading.test(before))) continue;
      if (word.startsWith('**/')) {
        // From a place that a variable names: wherever it lies.
        yield word;
        yield* inside('', word.slice(3));
        continue;
      }
      if (word.includes('*') && !/\.(?:sh|bash|mk)$/.test(word)) continue;
      const module = before === '-m' ? [`${word.replaceAll('.', '/')}.py`, `${word.replaceAll('.', '/')}/__main__.py`] : [];
      const meant = [...(runs && !/\.\w{1,4}$/.test(word) ? endings.map((ending) => word + ending) : [word]), ...module];
      for (const name of meant) for (const place of places) yield* inside(place, name);
    }
  }
}

/** From beside it or below: that is part of it, and the rest is what it works on. */
function importedBy({ text, directory }: Text): readonly string[] {
  const quoted = [
    ...text.matchAll(
      /(?:\bfrom|\bimport|\brequire|\brequire_relative|\bimport\.meta\.resolve)\s{0,10}\(?\s{0,10}["'`](\.{1,2}\/[^"'`\n]{1,200})["'`]/g,
    ),
  ].flatMap(([, name = '']) => endings.map((ending) => name + ending));
  const modules = [...text.matchAll(/^\s{0,20}(?:from|import)\s{1,10}(\.?[\w.]{1,200})/gm)].map(
    ([, name = '']) => `${name.replace(/^\./, '').replaceAll('.', '/')}.py`,
  );
  const commands = [...text.matchAll(/["'`]([\w./-]{1,200}\.(?:sh|bash|mk))["'`]/g)].flatMap(([, name = '']) => inside('', name));
  const own = [...quoted, ...modules].flatMap((name) => inside(directory, name));
  return [...own.filter((name) => directory === '' || name.startsWith(`${directory}/`)), ...commands];
}

function inside(place: string, name: string): readonly string[] {
  const path = posix.normalize(posix.join(place, name.replace(/^\/+/, ''))).replace(/\/$/, '');
  return path === '.' || path.startsWith('..') ? [] : [path];
}
