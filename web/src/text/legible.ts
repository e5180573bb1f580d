/** They make text read otherwise than it is: a command that is approved would not be the one that is seen. */
const turning = /[\u202a-\u202e\u2066-\u2069]/g;
const marks = /⟨U\+(202[A-E]|206[6-9])⟩/g;
/** Any escape of a JSON text, that of an escape character with all that it tells a terminal. */
const escapes = /\\(?:u001b(?:\[[0-?]*[ -/]*[@-~])?|.)/g;

/** A JSON text from the server, in which everything comes from somewhere outside, with nothing in its words that hides or turns them. */
export function legible(json: string): string {
  const marked = json.replaceAll(turning, (each) => `⟨U+${each.charCodeAt(0).toString(16).toUpperCase()}⟩`);
  if (!marked.includes('\\u001b')) return marked;
  return marked.replaceAll(escapes, (each) => (each.startsWith('\\u001b') ? '' : each));
}

/** As it was before it was made legible: what a person changes a part of goes back with the rest as it was. */
export const asWritten = (text: string): string =>
  text.replaceAll(marks, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
