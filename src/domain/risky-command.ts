/**
 * What a shell command may destroy, in a word or two; undefined when nothing is recognised. A hint for when to make a
 * checkpoint and no more: a command that wants to hide what it does can, and the sandbox is what holds it.
 */
export function riskOf(command: string): string | undefined {
  for (const words of commandsIn(command.slice(0, longest))) {
    const risk = riskOfWords(words);
    if (risk !== undefined) return risk;
  }
  return undefined;
}

const longest = 20_000;

/** Each simple command as its words. Quotes keep words together; what joins commands separates them, substitutions included. */
function commandsIn(text: string): readonly (readonly string[])[] {
  const commands: string[][] = [[]];
  let word: string | undefined;
  let quote = '';
  const endWord = (): void => {
    if (word !== undefined) commands.at(-1)?.push(word);
    word = undefined;
  };
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (quote !== '') {
      if (char === quote) quote = '';
      else if (char === '\\' && quote === '"') word += text.charAt(++i);
      else word += char;
    } else if (char === '\\') word = (word ?? '') + text.charAt(++i);
    else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/[;&|\n(){}`]/.test(char)) {
      endWord();
      commands.push([]);
    } else if (/\s/.test(char)) endWord();
    else word = (word ?? '') + char;
  }
  endWord();
  return commands;
}

/** They run what comes after them. */
const carriers = new Set([
  'sudo',
  'doas',
  'env',
  'nohup',
  'time',
  'nice',
  'ionice',
  'command',
  'builtin',
  'exec',
  'xargs',
  'timeout',
  'stdbuf',
  'setsid',
  'busybox',
  'then',
  'do',
  'else',
  'if',
  'while',
  '!',
]);
const shells = new Set(['sh', 'bash', 'zsh', 'dash', 'ash', 'ksh']);

function riskOfWords(words: readonly string[]): string | undefined {
  let rest = words;
  for (;;) {
    const [first = ''] = rest;
    const name = first.slice(first.lastIndexOf('/') + 1);
    if (/^\w+=/.test(first)) rest = rest.slice(1);
    else if (carriers.has(name)) {
      // Its own flags, and the numbers that some of them take.
      const next = rest.slice(1).findIndex((word) => !/^(-|\d+[smhd]?$|\w+=)/.test(word));
      if (next < 0) return undefined;
      rest = rest.slice(1 + next);
    } else if (rest[1] === 'exec' && ['bundle', 'npm', 'pnpm', 'yarn'].includes(name)) rest = rest.slice(2);
    else if (shells.has(name)) {
      const at = rest.findIndex((word) => /^-\w*c$/.test(word));
      return at < 0 ? undefined : riskOf(rest[at + 1] ?? '');
    } else return riskOfProgram(name, rest.slice(1));
  }
}

function riskOfProgram(name: string, args: readonly string[]): string | undefined {
  const flags = args.filter((arg) => arg.startsWith('-'));
  const plain = args.filter((arg) => !arg.startsWith('-'));
  const flag = (letter: string, ...long: readonly string[]): boolean =>
    flags.some((arg) => long.includes(arg) || (/^-[A-Za-z]+$/.test(arg) && arg.includes(letter)));
  const does = (...verbs: readonly string[]): boolean => plain.some((arg, index) => index < 2 && verbs.includes(arg));
  switch (name) {
    case 'rm':
      return flag('r', '--recursive') || flag('R') || plain.some((arg) => /[*?]/.test(arg)) ? 'rm of a tree' : undefined;
    case 'find':
      return args.includes('-delete') || (args.includes('-exec') && args.includes('rm')) ? 'find that deletes' : undefined;
    case 'git':
      return riskOfGit(args);
    case 'mv':
    case 'cp':
      return name === 'mv' || flag('f', '--force') ? (flag('n', '--no-clobber') ? undefined : `${name} over files`) : undefined;
    case 'rsync':
      return flags.some((arg) => arg.startsWith('--delete')) ? 'rsync that deletes' : undefined;
    case 'dd':
      return args.some((arg) => arg.startsWith('of=')) ? 'dd' : undefined;
    case 'truncate':
    case 'shred':
    case 'unlink':
      return name;
    case 'sed':
    case 'perl':
      return flags.some((arg) => /^-[a-zA-Z]*i/.test(arg) || arg.startsWith('--in-place')) ? `${name} in place` : undefined;
    case 'chmod':
    case 'chown':
      return flag('R', '--recursive') ? `${name} of a tree` : undefined;
    case 'npm':
    case 'pnpm':
    case 'yarn':
    case 'bun':
      return does('update', 'upgrade', 'up', 'dedupe', 'prune') || (does('audit') && args.some((arg) => arg === 'fix' || arg === '--fix'))
        ? 'package upgrade'
        : undefined;
    case 'npx':
      return plain.some((arg) => /^(npm-check-updates|ncu|jscodeshift)\b/.test(arg)) ? 'package upgrade' : migrationIn(plain);
    case 'ncu':
      return flag('u', '--upgrade') ? 'package upgrade' : undefined;
    case 'pip':
    case 'pip3':
    case 'uv':
    case 'poetry':
      return does('update') || flag('U', '--upgrade') ? 'package upgrade' : undefined;
    case 'cargo':
    case 'bundle':
    case 'composer':
      return does('update', 'upgrade') ? 'package upgrade' : undefined;
    case 'go':
      return does('get') && flag('u') ? 'package upgrade' : undefined;
    case 'make':
      return does('clean', 'distclean', 'mrproper') ? 'make clean' : migrationIn(plain);
    case 'dropdb':
      return 'dropdb';
    case 'psql':
    case 'mysql':
    case 'sqlite3':
      return args.some((arg) => /\b(drop|truncate|delete|alter|update)\b/i.test(arg)) ? 'SQL that changes data' : undefined;
    default:
      return migrationIn([name, ...plain]);
  }
}

function riskOfGit(args: readonly string[]): string | undefined {
  // Options of git itself come before the verb, and two of them take a word.
  let at = 0;
  while (args[at]?.startsWith('-')) at += args[at] === '-C' || args[at] === '-c' ? 2 : 1;
  const [verb = '', ...rest] = args.slice(at);
  const has = (...words: readonly string[]): boolean => rest.some((arg) => words.includes(arg));
  switch (verb) {
    case 'reset':
    case 'clean':
    case 'restore':
    case 'rebase':
    case 'merge':
    case 'pull':
    case 'cherry-pick':
    case 'revert':
    case 'filter-branch':
    case 'rm':
      return `git ${verb}`;
    case 'checkout':
      return has('--', '.', '-f', '--force') ? 'git checkout of files' : undefined;
    case 'switch':
      return has('-f', '--force', '--discard-changes') ? 'git switch --force' : undefined;
    case 'stash':
      return has('list', 'show') ? undefined : 'git stash';
    case 'apply':
    case 'am':
      return `git ${verb}`;
    case 'branch':
      return has('-D', '-M') ? 'git branch -D' : undefined;
    default:
      return undefined;
  }
}

const migrationIn = (words: readonly string[]): string | undefined =>
  words.some((word) => /^(db:)?(migrat(e|ion|ions)|db:(drop|reset|rollback|seed)|migrate:\w+)$/.test(word)) ||
  (words.includes('alembic') && words.some((word) => word === 'upgrade' || word === 'downgrade'))
    ? 'migration'
    : undefined;
