import { expect, test } from 'vitest';
import { Unusable } from '../domain/errors.ts';
import { repositoryRules } from './repositories.ts';

const rules = repositoryRules([
  { match: 'https://github.com/acme/app', egress: ['registry.npmjs.org'] },
  { match: 'https://github.com/acme/*', egress: ['*.acme.example:8443', 'pypi.org'] },
  { match: 'git@forge.example:team/*', egress: ['crates.io'] },
  { match: '/srv/git/*', egress: ['local.example'], tier: 'light' },
  { match: 'https://quiet.example/x' },
]);

test.each([
  ['/srv/git/app', 'light'],
  ['https://quiet.example/x', null],
  ['https://elsewhere.example/x', null],
])('work on %s gets the tier %s', (repository, tier) => {
  expect(rules.tierOf(repository)).toBe(tier);
});

test.each([
  ['https://github.com/acme/app', ['registry.npmjs.org']],
  ['https://GitHub.com/acme/app.git', ['registry.npmjs.org']],
  ['https://github.com/acme/app2', ['*.acme.example', 'pypi.org']],
  ['https://github.com/acme/group/app.git', ['*.acme.example', 'pypi.org']],
  ['https://github.com/acme', []],
  ['https://github.com/acmeister/app', []],
  ['http://github.com/acme/app', []],
  ['git@forge.example:team/app.git', ['crates.io']],
  ['git@forge.example:other/app.git', []],
  ['/srv/git/app', ['local.example']],
  ['/srv/gitolite/app', []],
  ['https://quiet.example/x', []],
])('%s may reach %j', (repository, hosts) => {
  expect(rules.egressOf(repository).map(({ host }) => host)).toEqual(hosts);
});

test.each([
  [{ match: 'https://github.com/*/app' }, 'repositories[0].match cannot be'],
  [{ match: '*' }, 'repositories[0].match cannot be'],
  [{ match: 'github.com/acme' }, 'repositories[0].match cannot be'],
  [{ match: 'https://me:secret@github.com/acme/app' }, 'repositories[0].match cannot be'],
  [{ match: 'https://a.example/x', egress: ['ok.example', '127.0.0.1'] }, 'repositories[0].egress[1]: "127.0.0.1" cannot be allowed'],
])('%j is refused with the place of the fault', (entry, message) => {
  expect(() => repositoryRules([entry])).toThrow(Unusable);
  expect(() => repositoryRules([entry])).toThrow(message);
});
