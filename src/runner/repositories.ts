import { Unusable } from '../domain/errors.ts';
import type { Tier } from '../domain/tier.ts';
import { parseRule, type Rule } from '../sandbox/egress.ts';
import type { History } from '../workspace/mirror.ts';
import { repositoryPattern } from '../workspace/repository-pattern.ts';

/** As it stands in the settings. */
export interface RepositorySetting {
  /** An address, or the beginning of one and `/*` for all below it. */
  readonly match: string;
  readonly egress?: readonly string[] | undefined;
  readonly history?: History | undefined;
  readonly tier?: Tier | undefined;
}

export interface RepositoryRules {
  /** What agents may reach that work on it; nothing for most. */
  egressOf(repository: string): readonly Rule[];
  /** How much of it is fetched. */
  historyOf(repository: string): History;
  /** How much of a model work on it needs, where nobody says it closer. */
  tierOf(repository: string): Tier | null;
}

/** The first entry that matches decides. Throws `Unusable` for an entry that says nothing sensible. */
export function repositoryRules(entries: readonly RepositorySetting[]): RepositoryRules {
  const parsed = entries.map(({ match, egress, history, tier }, index) => {
    const at = `repositories[${index}]`;
    return { matches: repositoryPattern(match, `${at}.match`), egress: rulesOf(egress ?? [], `${at}.egress`), history, tier };
  });
  const entryOf = (repository: string) => parsed.find(({ matches }) => matches(repository));
  return {
    egressOf: (repository) => entryOf(repository)?.egress ?? [],
    historyOf: (repository) => entryOf(repository)?.history ?? 'full',
    tierOf: (repository) => entryOf(repository)?.tier ?? null,
  };
}

function rulesOf(texts: readonly string[], at: string): readonly Rule[] {
  return texts.map((text, index) => {
    const parsed = parseRule(text);
    if (!parsed.ok) throw new Unusable('bad-setting', `${at}[${index}]: ${parsed.message}`);
    return parsed.rule;
  });
}
