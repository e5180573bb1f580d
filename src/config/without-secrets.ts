import { isMap, parseDocument } from 'yaml';
import { settings } from './settings.ts';

/** nightshift.yaml with what is secret taken out, comments and order kept; it says itself what is missing. */
export function withoutSecrets(text: string): string {
  const document = parseDocument(text);
  if (document.errors.length > 0 || !isMap(document.contents)) return '# The settings could not be read, so they are left out.\n';
  const left: string[] = [];
  for (const [key, setting] of Object.entries(settings)) {
    if ('secret' in setting && document.contents.delete(key)) left.push(key);
  }
  // An address of a database carries its password.
  if (document.contents.delete('databaseUrl')) left.push('databaseUrl');
  const rest = document.contents.items.length === 0 ? '' : String(document);
  return left.length === 0 ? rest : `# Left out of the backup, since they are secret: ${left.join(', ')}\n${rest}`;
}
