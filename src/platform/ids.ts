import { randomBytes } from 'node:crypto';
import type { Clock } from './clock.ts';

export type NewId = (prefix: string) => string;

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Ids of one process strictly increase, also when the wall clock jumps back. */
export function createIds(clock: Clock, random: (bytes: number) => Buffer = randomBytes): NewId {
  let lastTime = 0;
  let tail = 0n;
  return (prefix) => {
    const now = clock.now();
    if (now > lastTime) {
      lastTime = now;
      tail = BigInt(`0x${random(10).toString('hex')}`) >> 1n; // room to count up without overflow
    } else {
      tail += 1n;
    }
    return `${prefix}_${encode(BigInt(lastTime), 10)}${encode(tail, 16)}`;
  };
}

/** When an id was made, in epoch milliseconds; later ids were not made earlier. */
export function bornAt(id: string): number {
  const digits = id.slice(id.indexOf('_') + 1, id.indexOf('_') + 11);
  return [...digits].reduce((time, digit) => time * 32 + alphabet.indexOf(digit), 0);
}

function encode(value: bigint, length: number): string {
  let text = '';
  let rest = value;
  for (let i = 0; i < length; i++) {
    text = alphabet[Number(rest & 31n)] + text;
    rest >>= 5n;
  }
  return text;
}
