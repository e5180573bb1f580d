/** Dollars as people write them; of small ones so much that they are not nothing. */
export const money = (usd: number): string => (usd > 0 && usd < 0.1 ? moneyInFull(usd) : `$${usd.toFixed(2)}`);

/** Of figures that stand below each other, all are as exact as the smallest. */
export const moneyInFull = (usd: number): string => `$${usd.toFixed(4)}`;

export const count = (value: number): string =>
  value.toLocaleString('en', { notation: value >= 100_000 ? 'compact' : 'standard', maximumFractionDigits: 1 });

/** As disks and memory are sold: in powers of a thousand. */
export function bytes(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(value >= 100e9 ? 0 : 1)} GB`;
  return `${(value / 1e6).toFixed(value >= 100e6 ? 0 : 1)} MB`;
}
