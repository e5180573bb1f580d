import { describe, expect, test } from 'vitest';
import { fillIn, unknownPlaceholders, withContract } from './prompt.ts';

const values = { title: 'Fix it', body: null, repository: '/srv/shop', ref: null, branch: 'nightshift/x' };

describe('a prompt template', () => {
  test('is filled in wherever a placeholder stands, with or without space in its braces', () => {
    expect(fillIn('{{title}} ({{ repository }}) {{title}}', values)).toBe('Fix it (/srv/shop) Fix it');
  });

  test('takes what is put in as mere text, whatever braces and dollar signs are in it', () => {
    const body = 'In {{branch}}, and $& too';
    expect(fillIn('{{body}} / {{branch}}', { ...values, body })).toBe('In {{branch}}, and $& too / nightshift/x');
  });

  test('leaves nothing where there is nothing to put in', () => {
    expect(fillIn('[{{ref}}]', values)).toBe('[]');
  });

  test('is followed by the body that it does not mention', () => {
    expect(fillIn('Do {{title}}.', { ...values, body: 'With care.' })).toBe('Do Fix it.\n\nWith care.');
  });

  test('names the placeholders that there are not, once each', () => {
    expect(unknownPlaceholders('{{title}} {{ autor }} {{}} {{autor}} {single} {{ body }}')).toEqual(['autor', '']);
  });
});

test('an agent is told when its work is done, and nothing where nobody said', () => {
  expect(withContract('Fix it', 'it says {{two}}')).toBe('Fix it\n\nIt is done when: it says {{two}}');
  expect(withContract('Fix it', null)).toBe('Fix it');
});
