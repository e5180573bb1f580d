import { expect, test } from 'vitest';
import { errorIn, looksLikeError } from './error-forms.ts';

test.each<[string, string, object]>([
  [
    'the API',
    '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
    { type: 'overloaded_error', message: 'Overloaded' },
  ],
  ['OpenRouter', '{"error":{"code":402,"message":"Insufficient credits"}}', { status: 402, message: 'Insufficient credits' }],
  ['OpenRouter, with a number as text', '{"error":{"code":"429","message":"slow"}}', { status: 429, message: 'slow' }],
  [
    'Cloudflare',
    '{"success":false,"errors":[{"code":2001,"message":"Please configure AI Gateway"}]}',
    { message: 'Please configure AI Gateway' },
  ],
  ['Cloudflare, in the other way', '{"success":false,"error":[{"code":2009,"message":"Unauthorized"}]}', { message: 'Unauthorized' }],
  ['a bare text', '{"error":"no such model"}', { message: 'no such model' }],
  ['a bare message', '{"message":"nope"}', { message: 'nope' }],
  ['a page', '<html><h1>502 Bad Gateway</h1></html>', {}],
  ['nothing', '', {}],
  ['null', 'null', {}],
  ['a type that is none', '{"error":{"type":"<b>","message":7}}', {}],
])('%s is understood', (_, text, said) => {
  expect(errorIn(text)).toEqual(said);
});

test('an answer that begins like an error is told from one that does not', () => {
  expect(['{"error":{}}', ' { "success": false}', '{"errors":[]}'].map(looksLikeError)).toEqual([true, true, true]);
  expect(['{"type":"message"}', '[]', '', '{"id":"error"}'].map(looksLikeError)).toEqual([false, false, false, false]);
});
