import { Argument, type Command, type Option } from 'commander';
import { type Define, examples } from './session.ts';

interface Flag {
  readonly names: readonly string[];
  readonly about: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

interface Known {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  /** Words that can stand behind it: choices of its arguments, names below it. */
  readonly words: readonly string[];
}

const shells = ['bash', 'zsh', 'fish'] as const;

/** The script is made from the tree of commands itself, so it knows each option there is. */
export const define: Define = (command, session) => {
  examples(
    command.addArgument(new Argument('<shell>').choices(shells)),
    'source <(nightshift completion bash)        # in ~/.bashrc',
    'source <(nightshift completion zsh)         # in ~/.zshrc, after compinit',
    'nightshift completion fish > ~/.config/fish/completions/nightshift.fish',
  ).action(async (shell: (typeof shells)[number]) => {
    const program = await session.tree();
    const scripts = { bash, zsh, fish };
    session.screen.line(scripts[shell](knownOf(program)));
  });
};

function knownOf(program: Command): readonly Known[] {
  const commands = program.commands.map((command) => ({
    name: command.name(),
    summary: command.summary(),
    flags: [...command.options, helpOption].map(flagOf),
    words: [...command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices), ...command.commands.map((each) => each.name())],
  }));
  const help = { name: 'help', summary: 'show the help of a command', flags: [], words: commands.map(({ name }) => name) };
  return [...commands, help];
}

const helpOption = { short: '-h', long: '--help', description: 'show the help', required: false, optional: false } as const;

function flagOf(
  option: Pick<Option, 'short' | 'long' | 'description' | 'required' | 'optional'> & {
    readonly argChoices?: readonly string[] | undefined;
  },
): Flag {
  return {
    names: [option.short, option.long].filter((name) => name !== undefined),
    about: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  };
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const names = (flags: readonly Flag[]): string => flags.flatMap((flag) => flag.names).join(' ');

function bash(known: readonly Known[]): string {
  const values = known.flatMap(({ name, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .map(({ names: all, choices }) => {
        const patterns = all.map((each) => `${name}:${each}`).join('|');
        return choices.length > 0
          ? `    ${patterns}) COMPREPLY=($(compgen -W ${quoted(choices.join(' '))} -- "$cur")); return ;;`
          : `    ${patterns}) COMPREPLY=($(compgen -f -- "$cur")); return ;;`;
      }),
  );
  const commands = known.map(({ name, flags, words }) => `    ${name}) words=${quoted(words.join(' '))} flags=${quoted(names(flags))} ;;`);
  return `# bash completion for nightshift
_nightshift() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} cmd= words= flags= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ \${COMP_WORDS[i]} != -* ]]; then cmd=\${COMP_WORDS[i]}; break; fi
  done
  case "$cmd:$prev" in
${values.join('\n')}
  esac
  case "$cmd" in
    '') words=${quoted(known.map(({ name }) => name).join(' '))} flags='--help --version' ;;
${commands.join('\n')}
  esac
  if [[ $cur == -* ]]; then words=$flags; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _nightshift nightshift`;
}

function zsh(known: readonly Known[]): string {
  const escaped = (text: string): string => text.replaceAll(/[\\[\]:]/g, (char) => `\\${char}`);
  const spec = ({ names: all, about, takesValue, choices }: Flag): readonly string[] =>
    all.map((each) => {
      const value = takesValue ? (choices.length > 0 ? `:value:(${choices.join(' ')})` : ':value:_files') : '';
      return quoted(`*${each}[${escaped(about)}]${value}`);
    });
  const commands = known.map(
    ({ name, flags, words }) =>
      `    ${name}) _arguments ${[...flags.flatMap(spec), quoted(words.length > 0 ? `*:argument:(${words.join(' ')})` : '*:argument:_files')].join(' ')} ;;`,
  );
  return `#compdef nightshift
_nightshift() {
  local -a commands
  commands=(${known.map(({ name, summary }) => quoted(`${name}:${escaped(summary)}`)).join(' ')})
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  local cmd=$words[2]
  shift words
  (( CURRENT-- ))
  case "$cmd" in
${commands.join('\n')}
  esac
}
if [[ $funcstack[1] == _nightshift ]]; then _nightshift "$@"; else compdef _nightshift nightshift; fi`;
}

function fish(known: readonly Known[]): string {
  const lines = ['# fish completion for nightshift', 'complete -c nightshift -f'];
  for (const { name, summary, flags, words } of known) {
    lines.push(`complete -c nightshift -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`);
    const here = `complete -c nightshift -n '__fish_seen_subcommand_from ${name}'`;
    if (words.length > 0) lines.push(`${here} -a ${quoted(words.join(' '))}`);
    for (const { names: all, about, takesValue, choices } of flags) {
      const spelled = all.map((each) => (each.startsWith('--') ? `-l ${each.slice(2)}` : `-s ${each.slice(1)}`)).join(' ');
      const value = !takesValue ? '' : choices.length > 0 ? ` -x -a ${quoted(choices.join(' '))}` : ' -r -F';
      lines.push(`${here} ${spelled}${value} -d ${quoted(about)}`);
    }
  }
  return lines.join('\n');
}
