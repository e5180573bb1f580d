/** They make text read otherwise than it is: a command that is approved would not be the one that is seen. */
const turning = /[\u202a-\u202e\u2066-\u2069]/g;
/** Any escape of a JSON text, that of an escape character with all that it tells a terminal. */
const escapes = /\\(?:u001b(?:\[[0-?]*[ -/]*[@-~])?|.)/g;

/** A JSON text from the server, in which everything comes from somewhere outside, with nothing in its words that hides or turns them. */
export function legible(json: string): string {
  const marked = json.replaceAll(turning, (each) => `⟨U+${each.charCodeAt(0).toString(16).toUpperCase()}⟩`);
  if (!marked.includes('\\u001b')) return marked;
  return marked.replaceAll(escapes, (each) => (each.startsWith('\\u001b') ? '' : each));
}
