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
  /** Empty for one that nothing names. */
  readonly name: string;
  readonly firstLine: number;
  readonly lastLine: number;
  /** One, and one more for each decision; functions in it count for themselves. */
  readonly complexity: number;
}

const longestName = 80;

/** The functions of each source, in order. Blocks for as long as that takes: see worker.ts. */
export async function measure(sources: readonly Source[]): Promise<readonly (readonly MeasuredFunction[])[]> {
  const directory = dirname(require.resolve(treeSitter));
  await Parser.init({ locateFile: (name: string) => join(directory, name) });
  const languages = new Map<string, LoadedLanguage>();
  const measured: (readonly MeasuredFunction[])[] = [];
  for (const { path, text } of sources) {
    const grammar = grammarOf(path);
    if (grammar === undefined) {
      measured.push([]);
      continue;
    }
    const language = languages.get(grammar.name) ?? (await Language.load(join(directory, `tree-sitter-${grammar.name}.wasm`)));
    languages.set(grammar.name, language);
    measured.push(functionsIn(text, grammar, language));
  }
  return measured;
}

function functionsIn(text: string, { functions, decisions }: Grammar, language: LoadedLanguage): readonly MeasuredFunction[] {
  const parser = new Parser();
  parser.setLanguage(language);
  const tree = parser.parse(text);
  const found: MeasuredFunction[] = [];
  /** Functions around the present place, the innermost last. */
  const open: { readonly node: Node; decisions: number }[] = [];
  const cursor = tree?.walk();
  const enter = (): void => {
    if (!cursor) return;
    const innermost = open.at(-1);
    if (functions.includes(cursor.nodeType)) open.push({ node: cursor.currentNode, decisions: 0 });
    else if (innermost && decisions.includes(cursor.nodeType)) innermost.decisions += 1;
  };
  const leave = (): void => {
    const innermost = open.at(-1);
    if (!cursor || !innermost || innermost.node.id !== cursor.nodeId) return;
    open.pop();
    const { node } = innermost;
    found.push({
      name: nameOf(node),
      firstLine: node.startPosition.row + 1,
      lastLine: node.endPosition.row + 1,
      complexity: innermost.decisions + 1,
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

/** Its own, or that of what it is given to. */
function nameOf(node: Node): string {
  const { parent } = node;
  const named =
    node.childForFieldName('name') ??
    ['name', 'key', 'property', 'left', 'pattern']
      .map((field) => parent?.childForFieldName(field))
      .find((each) => each && each.id !== node.id);
  return (named?.text ?? '').slice(0, longestName);
}
