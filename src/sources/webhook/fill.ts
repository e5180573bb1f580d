const place = /\{\{\s*([^{}]+?)\s*\}\}/g;

/**
 * The text with each `{{path}}` replaced by what stands there; nothing where nothing does. What is filled in is not looked
 * at again, so that a value cannot name another.
 */
export const fill = (text: string, values: unknown): string => text.replaceAll(place, (_, path: string) => shown(at(values, path)));

/** Only what an object really holds: `constructor` and the like are not values. */
function at(value: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (within, step) => (typeof within === 'object' && within !== null && Object.hasOwn(within, step) ? within[step as never] : undefined),
      value,
    );
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return '';
  return (typeof value === 'object' ? JSON.stringify(value, null, 2) : String(value)).replaceAll('\0', '');
}
