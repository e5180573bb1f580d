/** What a prompt template may speak of, as {{name}}. */
export const placeholders = ['title', 'body', 'repository', 'ref', 'branch'] as const;
type Placeholder = (typeof placeholders)[number];

const pattern = /\{\{([^{}]*)\}\}/g;

const isPlaceholder = (name: string): name is Placeholder => (placeholders as readonly string[]).includes(name);

/** The placeholders in a template that nothing could be put in for. */
export const unknownPlaceholders = (template: string): readonly string[] => [
  ...new Set([...template.matchAll(pattern)].map(([, name = '']) => name.trim()).filter((name) => !isPlaceholder(name))),
];

/**
 * The prompt, in one pass: what is put in may hold braces of its own, and those are only text. What is not set leaves
 * nothing behind. A body that the template does not mention comes after it: nobody's wish is dropped for a template's sake.
 */
export function fillIn(template: string, values: Readonly<Record<Placeholder, string | null>>): string {
  const mentioned = new Set<string>();
  const filled = template.replaceAll(pattern, (whole, inner: string) => {
    const name = inner.trim();
    mentioned.add(name);
    return isPlaceholder(name) ? (values[name] ?? '') : whole;
  });
  return mentioned.has('body') || !values.body ? filled : `${filled}\n\n${values.body}`;
}
