import { expect, test } from 'vitest';
import { encrypted, isPublicKey } from './encrypt.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'base64url');

/** RFC 8291, section 5. */
const example = {
  p256dh: 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4',
  auth: 'BTBZMqHH6r4Tts7J_aSIgg',
  privateKey: 'yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw',
  salt: 'DGv6ra1nlYgDCS1FRnbzlw',
  body: 'DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN',
};

test('encrypts the example of the standard as the standard does', () => {
  const chosen = { privateKey: bytes(example.privateKey), salt: bytes(example.salt) };
  const plain = Buffer.from('When I grow up, I want to be a watermelon');
  expect(encrypted(plain, example, chosen).toString('base64url')).toBe(example.body);
});

test('never says the same twice in the same way', () => {
  const [one, two] = [encrypted(Buffer.from('hello'), example), encrypted(Buffer.from('hello'), example)];
  expect(one.subarray(0, 16)).not.toEqual(two.subarray(0, 16));
  expect(one.subarray(21, 86)).not.toEqual(two.subarray(21, 86));
});

test('knows a public key from what only looks like one', () => {
  expect(isPublicKey(example.p256dh)).toBe(true);
  expect(isPublicKey(`BA${'A'.repeat(85)}`)).toBe(false);
  expect(isPublicKey(example.auth)).toBe(false);
});
