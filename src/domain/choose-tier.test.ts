import { describe, expect, test } from 'vitest';
import { chooseTier, type TierFacts } from './choose-tier.ts';
import type { Tier } from './tier.ts';

const facts = (more: Partial<TierFacts> = {}): TierFacts => ({
  kind: 'task',
  title: 'Add a button',
  body: null,
  priority: 'medium',
  failures: [],
  ...more,
});

describe('the tier of a task', () => {
  test.each<[string, Partial<TierFacts>, Tier]>([
    ['is standard without a reason for anything else', {}, 'standard'],
    ['is what the task asks for, whatever else speaks', { asked: 'light', failures: ['verify-failed'], labels: ['refactor'] }, 'light'],
    ['is what a label asks for', { labels: ['bug', 'tier:deep'], profile: 'light' }, 'deep'],
    ['is what the profile asks for, before the wish is read', { profile: 'standard', title: 'Refactor it all' }, 'standard'],
    ['is what the profile asks for, before its repository', { profile: 'standard', repository: 'deep' }, 'standard'],
    ['is what its repository asks for, before the wish is read', { repository: 'light', failures: ['verify-failed'] }, 'light'],
    ['is light where somebody only wants to know', { title: 'List the routes that need no key' }, 'light'],
    ['is light for a question', { title: 'How many tests are there?' }, 'light'],
    ['is not light when the details ask for a change', { title: 'Explain the cache', body: 'Then fix it.' }, 'standard'],
    ['is not light when it is urgent', { title: 'List the routes', priority: 'high' }, 'standard'],
    ['is not light when there is much to it', { title: 'Summarise this', body: 'x '.repeat(400) }, 'standard'],
    ['is light for a typo', { title: 'Fix a typo in the README' }, 'light'],
    ['is light for documents by label', { labels: ['documentation'] }, 'light'],
    ['is deep for a refactoring', { title: 'Refactor the queue' }, 'deep'],
    ['is deep for hard debugging', { body: 'There is a race condition in here.' }, 'deep'],
    ['is deep for a specification', { body: 'x'.repeat(6_001) }, 'deep'],
    ['is deep after a failure', { failures: ['verify-failed'] }, 'deep'],
    ['is not deep after a failure of the provider', { failures: ['model-unreachable', 'network'] }, 'standard'],
    ['is light for a summary', { kind: 'summary', failures: ['x'] }, 'light'],
  ])('%s', (_, more, tier) => {
    const choice = chooseTier(facts(more));
    expect(choice.tier).toBe(tier);
    expect(choice.reason).toMatch(/\.$/);
  });

  test('says why', () => {
    expect(chooseTier(facts({ failures: ['max-turns', 'network', 'verify-failed'] })).reason).toBe('2 attempts have failed.');
    expect(chooseTier(facts({ labels: ['Refactoring'] })).reason).toBe('The label "Refactoring" asks for it.');
    expect(chooseTier(facts({ title: 'Debug it' })).reason).toBe('It speaks of "debug".');
  });
});
