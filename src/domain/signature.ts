/**
 * An error without what differs from one time to the next: quoted strings, addresses, e-mails, paths, ids and numbers are
 * blanked. Two errors that read the same then are the same error.
 */
export const blanked = (message: string): string =>
  message
    .slice(0, longestMessage)
    .split('\n')
    .map((line) => blankedLine(line.slice(0, longestLine)))
    .join(' ')
    .replaceAll(/\s+/g, ' ')
    .trim();

/** What a hostile program prints must not keep the expressions below busy. */
const longestMessage = 100_000;
const longestLine = 500;

function blankedLine(line: string): string {
  return (
    line
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
      .replaceAll(/\u001b\[[\d;]*m/g, '')
      .replaceAll(/"[^"\n]{0,500}"|`[^`\n]{0,500}`|(?<![A-Za-z])'[^'\n]{0,500}'(?![A-Za-z])/g, '"…"')
      .replaceAll(/[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g, '<mail>')
      .replaceAll(/\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s)>\]]+/gi, '<url>')
      .replaceAll(/(?:[A-Za-z]:)?(?:\.{0,2}[\\/][\w.@+-]+)+|\b[\w.@+-]+(?:[\\/][\w.@+-]+)+/g, '<path>')
      .replaceAll(/\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)[0-9a-f]{7,}\b/gi, '<hex>')
      .replaceAll(/\d+(?:[.,:]\d+)*/g, '#')
  );
}

export interface ErrorFacts {
  readonly category: string;
  readonly code: string;
  readonly message: string;
}

/** `hash` is SHA-256 in hex; it is a parameter because nothing in here reaches out of the program. */
export const signatureOf = ({ category, code, message }: ErrorFacts, hash: (text: string) => string): string =>
  hash([category, code, blanked(message)].join('\n')).slice(0, 16);
