/** A run of characters of one colour. */
export interface Token {
  readonly kind: 'plain' | 'comment' | 'string' | 'number' | 'keyword' | 'name';
  readonly text: string;
  /** Where in the line it begins. */
  readonly at: number;
}

interface Language {
  readonly line: readonly string[];
  readonly block: boolean;
  readonly quotes: string;
  readonly keywords: ReadonlySet<string>;
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));

const clike: Language = {
  line: ['//'],
  block: true,
  quotes: '"\'`',
  keywords: words(
    'abstract as async await break case catch class const continue default defer delete do else enum export extends extern false final finally fn for from func function go goto if impl implements import in instanceof interface internal let loop match mod mut namespace new nil null of override package private protected public pub readonly return satisfies self sizeof static struct super switch this throw trait true try type typeof undefined union unsafe use using val var virtual void where while with yield int bool boolean char double float long short string unsigned',
  ),
};
const script: Language = {
  line: ['#'],
  block: false,
  quotes: '"\'',
  keywords: words(
    'and as assert async await begin break case class continue def del do done elif else elsif end ensure esac except exit export False fi finally for from function global if import in is lambda local module nil None nonlocal not or pass raise require rescue return self set super then True try unless until when while with yield true false null',
  ),
};
const sql: Language = {
  line: ['--'],
  block: true,
  quotes: '\'"',
  keywords: words(
    'select insert update delete from where and or not null is in join left right inner outer on as create table index unique primary key references drop alter add group by order limit offset having values into set begin commit rollback SELECT INSERT UPDATE DELETE FROM WHERE AND OR NOT NULL IS IN JOIN LEFT RIGHT INNER OUTER ON AS CREATE TABLE INDEX UNIQUE PRIMARY KEY REFERENCES DROP ALTER ADD GROUP BY ORDER LIMIT OFFSET HAVING VALUES INTO SET',
  ),
};
const data: Language = { line: ['#', ';'], block: false, quotes: '"\'', keywords: words('true false null yes no on off') };
const style: Language = { line: [], block: true, quotes: '"\'', keywords: words('important media layer supports import from to var calc') };
const plain: Language = { line: [], block: false, quotes: '', keywords: new Set() };

const families: readonly (readonly [RegExp, Language])[] = [
  [/\.(?:[cm]?[jt]sx?|java|kt|go|rs|c|h|cc|cpp|hpp|cs|swift|scala|dart|php|zig|proto|json[c5]?|vue|svelte)$/i, clike],
  [/\.(?:py|rb|sh|bash|zsh|fish|pl|r|ex|exs|jl|nix|tf|cmake)$|(?:^|\/)(?:Makefile|Dockerfile|Gemfile|Rakefile)$/i, script],
  [/\.sql$/i, sql],
  [/\.(?:ya?ml|toml|ini|cfg|conf|env|properties)$/i, data],
  [/\.(?:css|scss|less)$/i, style],
];

export const languageOf = (path: string): Language => families.find(([pattern]) => pattern.test(path))?.[1] ?? plain;

/** Longer lines are minified or data; nobody reads them by colour. */
const longestLine = 2_000;

/**
 * One line in colours. A line is all that is known: a comment or text that began on an earlier one is not seen as such, which
 * in a patch, where most of a file is missing, could not be known anyway.
 */
export function highlight(line: string, { line: lineComments, block, quotes, keywords }: Language): readonly Token[] {
  if (line.length > longestLine || quotes === '') return [{ kind: 'plain', text: line, at: 0 }];
  const tokens: Token[] = [];
  const put = (kind: Token['kind'], text: string, at: number): void => {
    const last = tokens.at(-1);
    if (last?.kind === kind) tokens[tokens.length - 1] = { ...last, text: last.text + text };
    else tokens.push({ kind, text, at });
  };
  if (block && /^\s*\*(?:\s|\/|$)/.test(line)) return [{ kind: 'comment', text: line, at: 0 }];
  for (let i = 0; i < line.length; ) {
    const rest = line.slice(i);
    const char = line.charAt(i);
    const startsComment = lineComments.some((each) => rest.startsWith(each)) && (char !== '#' || i === 0 || /\s/.test(line.charAt(i - 1)));
    if (startsComment) {
      put('comment', rest, i);
      break;
    }
    const found =
      (block && rest.startsWith('/*') && (['comment', /^\/\*.*?(?:\*\/|$)/] as const)) ||
      (quotes.includes(char) && (['string', /^(["'`])(?:\\.|(?!\1).)*(?:\1|$)/] as const)) ||
      (/\d/.test(char) && (['number', /^\d[\w.]*/] as const)) ||
      (/[A-Za-z_$]/.test(char) && (['name', /^[\w$]+/] as const));
    const text = found ? (found[1].exec(rest)?.[0] ?? char) : char;
    const kind = !found
      ? 'plain'
      : found[0] !== 'name'
        ? found[0]
        : keywords.has(text)
          ? 'keyword'
          : line.charAt(i + text.length) === '('
            ? 'name'
            : 'plain';
    put(kind, text, i);
    i += text.length;
  }
  return tokens;
}
