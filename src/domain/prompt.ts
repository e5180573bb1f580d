/** What a prompt template may speak of, as {{name}}. */
export const placeholders = ['title', 'body', 'repository', 'ref', 'branch'] as const;
type Placeholder = (typeof placeholders)[number];

const pattern = /\{\{([^{}]*)\}\}/g;

const isPlaceholder = (name: string): name is Placeholder => (placeholders as readonly string[]).includes(name);

/** The placeholders in a template that nothing could be put in for. */
export const unknownPlaceholders = (template: string): readonly string[] => [
  ...new Set([...template.matchAll(pattern)].map(([, name = '']) => name.trim()).filter((name) => !isPlaceholder(name))),
];

/** In one pass: what is put in may hold braces of its own, and those are only text. What is not set leaves nothing behind. */
export const fillIn = (template: string, values: Readonly<Record<Placeholder, string | null>>): string =>
  template.replaceAll(pattern, (whole, inner: string) => {
    const name = inner.trim();
    return isPlaceholder(name) ? (values[name] ?? '') : whole;
  });
