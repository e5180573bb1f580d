/**
 * Splits a command line into arguments by the quoting rules that people know from shells, and nothing else of a shell:
 * no variables, no globs, no substitution, no pipes. Undefined when a quote is left open.
 */
function splitCommandLine(line: string): readonly string[] | undefined {
  const args: string[] = [];
  let current: string | undefined;
  let quote: '"' | "'" | undefined;
  for (let i = 0; i < line.length; i++) {
    const char = line.charAt(i);
    if (quote === "'") {
      if (char === "'") quote = undefined;
      else current += char;
    } else if (char === '\\' && (quote === undefined || '"\\'.includes(line.charAt(i + 1)))) {
      i += 1;
      if (i === line.length) return undefined;
      current = (current ?? '') + line.charAt(i);
    } else if (quote === '"') {
      if (char === '"') quote = undefined;
      else current += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      current ??= '';
    } else if (/\s/.test(char)) {
      if (current !== undefined) args.push(current);
      current = undefined;
    } else {
      current = (current ?? '') + char;
    }
  }
  if (quote !== undefined) return undefined;
  if (current !== undefined) args.push(current);
  return args;
}

/** A command as text: a JSON array of arguments, or a line to be split. Undefined when it is neither. */
export function parseCommand(text: string): readonly string[] | undefined {
  const args = text.trimStart().startsWith('[') ? fromJsonArray(text) : splitCommandLine(text);
  return args && args.length > 0 && args[0] !== '' && args.every((arg) => !arg.includes('\0')) ? args : undefined;
}

function fromJsonArray(text: string): readonly string[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : undefined;
  } catch {
    return undefined;
  }
}
