import { expect, test } from 'vitest';
import { bytes } from './wording.ts';

test.each([
  [0, '0 B'],
  [812, '812 B'],
  [11_630, '11 KB'],
  [3_565_158, '3.4 MB'],
  [60_000_000, '57 MB'],
  [2 ** 30, '1.0 GB'],
  [73_000_000_000, '68 GB'],
])('%i bytes are shown as %s', (count, shown) => {
  expect(bytes(count)).toBe(shown);
});
