import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onDuty } from '../src/rota.js';

const rota = [
  { name: 'Ada', from: 6, to: 14 },
  { name: 'Grace', from: 14, to: 22 },
  { name: 'Edsger', from: 22, to: 6 },
];

test('finds who is on duty by day', () => {
  assert.deepEqual(onDuty(rota, 9), ['Ada']);
  assert.deepEqual(onDuty(rota, 21), ['Grace']);
});

test('hands over on the hour', () => {
  assert.deepEqual(onDuty(rota, 14), ['Grace']);
});

test('finds who is on duty over midnight', () => {
  assert.deepEqual(onDuty(rota, 23), ['Edsger']);
  assert.deepEqual(onDuty(rota, 3), ['Edsger']);
});
