import { crc32, deflateSync } from 'node:zlib';

/**
 * The icon as a PNG, for phones that take no SVG: a moon and a star on night blue, filled to the edge so that a mask may cut it.
 * Drawn rather than kept, because a picture in the tree could not be reviewed.
 */
export function drawIcon(size: number): Buffer {
  const rows = Buffer.alloc(size * (1 + 3 * size));
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [u, v] = [(x + 0.5) / size, (y + 0.5) / size];
      const moon = Math.min(inside(u, v, 0.47, 0.52, 0.27), 1 - inside(u, v, 0.58, 0.42, 0.25));
      const star = inside(u, v, 0.66, 0.36, 0.045);
      const colour = mix(mix([0x17, 0x1a, 0x26], [0xa9, 0xb4, 0xff], moon), [0xff, 0xd2, 0x8a], star);
      rows.set(colour, y * (1 + 3 * size) + 1 + 3 * x);
    }
  }
  /** How much of a pixel lies in a circle: its edge is one pixel soft. */
  function inside(u: number, v: number, cx: number, cy: number, radius: number): number {
    return Math.min(1, Math.max(0, (radius - Math.hypot(u - cx, v - cy)) * size + 0.5));
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([8, 2], 8); // eight bits of red, green and blue
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

const mix = (below: readonly number[], above: readonly number[], share: number): number[] =>
  below.map((each, i) => Math.round(each + ((above[i] ?? 0) - each) * share));

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}
