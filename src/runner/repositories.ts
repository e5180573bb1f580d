import { Unusable } from '../domain/errors.ts';
import { parseRule, type Rule } from '../sandbox/egress.ts';
import type { History } from '../workspace/mirror.ts';
import { parseRepository } from '../workspace/repository.ts';

/** As it stands in the settings. */
export interface RepositorySetting {
  /** An address, or the beginning of one and `/*` for all below it. */
  readonly match: string;
  readonly egress?: readonly string[] | undefined;
  readonly history?: History | undefined;
}

export interface RepositoryRules {
  /** What agents may reach that work on it; nothing for most. */
  egressOf(repository: string): readonly Rule[];
  /** How much of it is fetched. */
  historyOf(repository: string): History;
}

/** The first entry that matches decides. Throws `Unusable` for an entry that says nothing sensible. */
export function repositoryRules(entries: readonly RepositorySetting[]): RepositoryRules {
  const parsed = entries.map(({ match, egress, history }, index) => {
    const at = `repositories[${index}]`;
    return { matches: matcherOf(match, `${at}.match`), egress: rulesOf(egress ?? [], `${at}.egress`), history };
  });
  const entryOf = (repository: string) => parsed.find(({ matches }) => matches(normal(repository) ?? repository));
  return {
    egressOf: (repository) => entryOf(repository)?.egress ?? [],
    historyOf: (repository) => entryOf(repository)?.history ?? 'full',
  };
}

function matcherOf(match: string, at: string): (repository: string) => boolean {
  const all = match.endsWith('/*');
  // With a name in the place of the asterisk it is an address like any other.
  const address = normal(all ? `${match.slice(0, -1)}x` : match);
  if (address === undefined || address.includes('*')) {
    throw new Unusable(
      'bad-setting',
      `${at} cannot be ${JSON.stringify(match)}: write a repository's address (https://…, ssh://…, git@host:path or a path), or the beginning of one and /* for all below it.`,
    );
  }
  const beginning = address.slice(0, -1);
  return all ? (repository) => repository.startsWith(beginning) && repository !== beginning : (repository) => repository === address;
}

function rulesOf(texts: readonly string[], at: string): readonly Rule[] {
  return texts.map((text, index) => {
    const parsed = parseRule(text);
    if (!parsed.ok) throw new Unusable('bad-setting', `${at}[${index}]: ${parsed.message}`);
    return parsed.rule;
  });
}

/** The same for every way of writing it; undefined for what is none. */
function normal(address: string): string | undefined {
  const parsed = parseRepository(address, { local: true });
  return parsed.ok ? parsed.value.url.replace(/\.git$/, '') : undefined;
}
