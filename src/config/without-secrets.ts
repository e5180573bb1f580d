import { isMap, parseDocument } from 'yaml';
import { withoutSecrets as blanked } from '../domain/secret-forms.ts';
import { settings } from './settings.ts';

/**
 * nightshift.yaml with what is secret taken out, comments and order kept; it says itself what is missing. What stands in a
 * comment, in the command of a hook or in an address is no setting, and blanked when it looks like a secret.
 */
export function withoutSecrets(text: string): string {
  const document = parseDocument(text);
  if (document.errors.length > 0 || !isMap(document.contents)) return '# The settings could not be read, so they are left out.\n';
  const left: string[] = [];
  for (const [key, setting] of Object.entries(settings)) {
    if ('secret' in setting && document.contents.delete(key)) left.push(key);
  }
  const rest = document.contents.items.length === 0 ? '' : blanked(String(document));
  return left.length === 0 ? rest : `# Left out of the backup, since they are secret: ${left.join(', ')}\n${rest}`;
}
