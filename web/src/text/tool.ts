/** What tells most of a tool call, in this order. */
const tellingKeys = ['command', 'file_path', 'notebook_path', 'pattern', 'url', 'query', 'path', 'description', 'prompt', 'skill'];

/** The one argument of a call that a reader wants to see beside the tool's name. */
export function tellingPart(input: unknown): string {
  if (typeof input !== 'object' || input === null) return '';
  const fields = input as Readonly<Record<string, unknown>>;
  const key = [...tellingKeys, ...Object.keys(fields)].find((each) => typeof fields[each] === 'string' && fields[each] !== '');
  return key === undefined ? '' : withinWorkspace(String(fields[key])).replace(/\s+/g, ' ').trim();
}

/** A path in the run's workspace is told from its top, as everybody knows it. */
export const withinWorkspace = (text: string): string =>
  text.replaceAll(/\/[^\s'"]*?\/workspaces\/wsp_[0-9A-Z]+\/tree(?:\/|(?=[\s'"]|$))/g, '');
