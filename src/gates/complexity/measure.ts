import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Language as LoadedLanguage, Node } from '@vscode/tree-sitter-wasm';
import { type Grammar, grammarOf } from './grammars.ts';

const require = createRequire(import.meta.url);
const treeSitter = '@vscode/tree-sitter-wasm';
// Its names cannot be told by an import: what it exports is made by a function.
const { Language, Parser } = require(treeSitter) as typeof import('@vscode/tree-sitter-wasm');

export interface Source {
  readonly path: string;
  readonly text: string;
}

export interface MeasuredFunction {
  /** With what it stands in; of one that nothing names, what it is given to. Several may have the same. */
  readonly name: string;
  readonly firstLine: number;
  readonly lastLine: number;
  /** One, and one more for each decision; functions in it count for themselves. */
  readonly complexity: number;
  /** Its lines, blanks aside, by which it is known again elsewhere; only of one that has something to it. */
  readonly lines?: readonly string[];
}

/** Below that nobody minds whether it is an old one. */
const worthKnowing = 5;
const longestKnown = 64 * 1024;

const longestName = 120;
const longestPiece = 40;

/** The functions of each source, one source after the other. Blocks for as long as each takes: see worker.ts. */
export async function* measure(sources: readonly Source[]): AsyncGenerator<readonly MeasuredFunction[]> {
  const directory = dirname(require.resolve(treeSitter));
  await Parser.init({ locateFile: (name: string) => join(directory, name) });
  const languages = new Map<string, LoadedLanguage>();
  for (const { path, text } of sources) {
    const grammar = grammarOf(path);
    if (grammar === undefined) {
      yield [];
      continue;
    }
    const language = languages.get(grammar.name) ?? (await Language.load(join(directory, `tree-sitter-${grammar.name}.wasm`)));
    languages.set(grammar.name, language);
    yield functionsIn(text, grammar, language);
  }
}

function functionsIn(text: string, { functions, holders, decisions }: Grammar, language: LoadedLanguage): readonly MeasuredFunction[] {
  const parser = new Parser();
  parser.setLanguage(language);
  const tree = parser.parse(text);
  const found: MeasuredFunction[] = [];
  /** What stands around the present place, the innermost last. */
  const open: { readonly node: Node; readonly name: string; readonly isFunction: boolean; decisions: number }[] = [];
  const cursor = tree?.walk();
  const enter = (): void => {
    if (!cursor) return;
    const isFunction = functions.includes(cursor.nodeType);
    // A keyword may be called like what it begins.
    if (isFunction || (holders.includes(cursor.nodeType) && cursor.currentNode.isNamed)) {
      const node = cursor.currentNode;
      open.push({ node, name: nameOf(node), isFunction, decisions: 0 });
    } else if (decisions.includes(cursor.nodeType)) {
      const innermost = open.findLast((each) => each.isFunction);
      if (innermost) innermost.decisions += 1;
    }
  };
  const leave = (): void => {
    const innermost = open.at(-1);
    if (!cursor || !innermost || innermost.node.id !== cursor.nodeId) return;
    open.pop();
    const { node, name, isFunction } = innermost;
    if (!isFunction) return;
    const around = open.slice(-2).map((each) => each.name);
    found.push({
      name: [...around, name].join('.').slice(-longestName),
      firstLine: node.startPosition.row + 1,
      lastLine: node.endPosition.row + 1,
      complexity: innermost.decisions + 1,
      ...(innermost.decisions < worthKnowing || node.endIndex - node.startIndex > longestKnown ? {} : { lines: linesOf(node) }),
    });
  };
  // Not by recursion: how deep the tree is, is for the source to say.
  for (let going = cursor !== undefined; going && cursor; ) {
    enter();
    if (cursor.gotoFirstChild()) continue;
    leave();
    while (!cursor.gotoNextSibling()) {
      going = cursor.gotoParent();
      if (!going) break;
      leave();
    }
  }
  cursor?.delete();
  tree?.delete();
  parser.delete();
  return found.sort((a, b) => a.firstLine - b.firstLine);
}

const linesOf = (node: Node): readonly string[] =>
  (node.childForFieldName('body') ?? node).text
    .split('\n')
    .map((line) => line.replaceAll(/\s/g, ''))
    .filter((line) => line.length > 1);

/** Its own, that of what it is given to, or of what it is an argument of. */
function nameOf(node: Node): string {
  const { parent } = node;
  const named =
    node.childForFieldName('name') ??
    (node.type === 'impl_item' ? node.childForFieldName('type') : undefined) ??
    ['name', 'key', 'property', 'left', 'pattern']
      .map((field) => parent?.childForFieldName(field))
      .find((each) => each && each.id !== node.id);
  if (named) return named.text.slice(0, longestName);
  const callee = parent?.type.startsWith('argument') ? parent.parent?.childForFieldName('function') : undefined;
  if (!callee) return '(function)';
  const first = parent?.firstNamedChild;
  const said = first && /string/.test(first.type) ? first.text.slice(0, longestPiece) : '…';
  return `${callee.text.slice(-longestPiece).replaceAll(/\s+/g, ' ')}(${said})`;
}
