/** What is shown of what may be long, in events and to hooks. `clean` goes over every text, and cuts it short. */
const inputLimit = 16_000;
const longestField = 1_000;

export type Clean = (text: string, limit: number) => string;

/** The input as it is when it is small, else its fields cut short: the names are what a reader looks for. */
export function shownInput(input: unknown, clean: Clean = trimmed, limit = inputLimit, field = longestField): unknown {
  const whole = JSON.stringify(input) ?? 'null';
  if (whole.length <= limit) return parsed(clean(whole, limit * 2));
  if (typeof input !== 'object' || input === null) return clean(whole, limit);
  const fields = Object.entries(input).slice(0, 50);
  return Object.fromEntries(
    fields.map(([name, value]) => [name, clean(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''), field)]),
  );
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

/** The beginning and the end: what was asked for stands at the one, how it went at the other. */
export function trimmed(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const half = Math.floor(limit / 2);
  return `${text.slice(0, half)}\n[… ${text.length - 2 * half} characters left out …]\n${text.slice(-half)}`;
}

/** What a tool answered, as text. */
export function resultText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .map((part: { type?: unknown; text?: unknown }) => (typeof part.text === 'string' ? part.text : `[${String(part.type)}]`))
    .join('\n');
}
