import { Unusable } from '../domain/errors.ts';
import { canonicalAddress } from './repository.ts';

/**
 * Whether a repository is the one that a pattern names: an address, or the beginning of one and a slash and an asterisk for
 * all below it. Throws `Unusable` for a pattern that says nothing sensible; `at` is where it stands in the settings.
 */
export function repositoryPattern(pattern: string, at: string): (repository: string) => boolean {
  const all = pattern.endsWith('/*');
  // With a name in the place of the asterisk it is an address like any other.
  const address = canonicalAddress(all ? `${pattern.slice(0, -1)}x` : pattern);
  if (address === undefined || address.includes('*')) {
    throw new Unusable(
      'bad-setting',
      `${at} cannot be ${JSON.stringify(pattern)}: write a repository's address (https://…, ssh://…, git@host:path or a path), or the beginning of one and /* for all below it.`,
    );
  }
  const beginning = address.slice(0, -1);
  return (repository) => {
    const named = canonicalAddress(repository);
    if (named === undefined) return false;
    return all ? named.startsWith(beginning) && named !== beginning : named === address;
  };
}
