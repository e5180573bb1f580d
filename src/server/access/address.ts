import { BlockList, isIP } from 'node:net';
import type { Context } from 'hono';
import type { AppEnv } from '../env.ts';

interface Address {
  /** As it is shown. */
  readonly full: string;
  /** What is counted as one: a household has a whole /64 of IPv6 to send from. */
  readonly counted: string;
}

export type AddressOf = (context: Context<AppEnv>) => Address;

/**
 * Where a request comes from. What `x-forwarded-for` says is believed as far as trusted proxies have written it: from the
 * right, up to the first address that is none of theirs. Anybody can write the rest.
 */
export function addressReader(trustedProxies: readonly string[]): AddressOf {
  const trusted = new BlockList();
  for (const each of trustedProxies) {
    const [network = '', bits] = each.split('/');
    const family = isIP(network) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) trusted.addAddress(network, family);
    else trusted.addSubnet(network, Number(bits), family);
  }
  const isTrusted = (address: string): boolean => {
    const version = isIP(address);
    return version !== 0 && trusted.check(address, version === 6 ? 'ipv6' : 'ipv4');
  };

  return (context) => {
    const peer = plain(context.env?.incoming?.socket.remoteAddress ?? 'unknown');
    if (trustedProxies.length === 0 || !isTrusted(peer)) return asAddress(peer);
    const named = (context.req.header('x-forwarded-for') ?? '').split(',').map((each) => plain(each.trim()));
    return asAddress(named.findLast((each) => isIP(each) !== 0 && !isTrusted(each)) ?? peer);
  };
}

/** IPv4 as such, also where the system speaks of it as a part of IPv6. */
const plain = (address: string): string => (address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address);

const asAddress = (full: string): Address => ({ full, counted: full.includes(':') ? networkOf(full) : full });

/** The first four groups of an IPv6 address. */
function networkOf(address: string): string {
  const [left = '', right] = (address.split('%')[0] ?? '').split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === undefined || right === '' ? [] : right.split(':');
  const gap = right === undefined ? [] : Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0');
  return `${[...head, ...gap, ...tail].slice(0, 4).join(':')}::/64`;
}
