import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, renameSync, rmSync, statfsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { git } from '../../test/support/git-world.ts';

export interface BigSize {
  readonly files: number;
  readonly historyMiB: number;
}

type Found = { readonly path: string; readonly missing?: never } | { readonly missing: string };

const filesPerDirectory = 100;
const bytesPerFile = 600;
const pieceBytes = 1024 * 1024;

/**
 * A bare repository of that size, made once and kept in the cache directory: the same commits whenever and wherever it is
 * made. Its history is of large files that came and went, which no compression makes smaller; its newest commit has many
 * small ones.
 */
export async function bigRepository(size: BigSize): Promise<Found> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'nightshift-bench');
  mkdirSync(cache, { recursive: true });
  const path = join(cache, `big-1-${size.files}-${size.historyMiB}.git`);
  if (existsSync(path)) return { path };
  const { bavail, bsize } = statfsSync(cache);
  const neededMiB = 2 * size.historyMiB + 1_024;
  if ((bavail * bsize) / 2 ** 20 < neededMiB) return { missing: `There are no ${neededMiB} MiB left in ${cache}.` };
  const unfinished = `${path}.making-${process.pid}`;
  try {
    git(cache, 'init', '--quiet', '--bare', '--initial-branch=main', unfinished);
    await fill(unfinished, size);
    renameSync(unfinished, path);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return { path };
}

async function fill(directory: string, { files, historyMiB }: BigSize): Promise<void> {
  const child = spawn('git', ['-c', 'pack.compression=0', '-c', 'core.compression=0', 'fast-import', '--quiet', '--depth=0'], {
    cwd: directory,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  // The stream of a cipher over zeros: no compressor finds anything in it, and it is the same each time.
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  const zeros = Buffer.alloc(pieceBytes);
  for (let piece = 0; piece < historyMiB; piece++) {
    await send(child, `${commit(`Data ${piece}`, piece)}M 100644 inline data/${piece % 8}.bin\ndata ${pieceBytes}\n`);
    await send(child, noise.update(zeros));
    await send(child, '\n');
  }
  await send(child, `${commit('Source', historyMiB)}deleteall\n`);
  for (let file = 0; file < files; file++) {
    const text = textOf(file);
    await send(child, `M 100644 inline src/${Math.floor(file / filesPerDirectory)}/file-${file}.txt\ndata ${text.length}\n${text}\n`);
  }
  child.stdin.end('done\n');
  const [code] = await ended;
  if (code !== 0) throw new Error(`git fast-import ended with ${code}`);
}

const commit = (message: string, nth: number): string =>
  `commit refs/heads/main\ncommitter Ada <ada@example.org> ${1_700_000_000 + nth * 60} +0000\ndata ${message.length}\n${message}\n`;

function textOf(file: number): string {
  const line = `line of file ${file} with the number `;
  let text = '';
  for (let n = 0; text.length < bytesPerFile; n++) text += `${line}${(file * 7_919 + n * 104_729) % 1_000_003}\n`;
  return text;
}

async function send({ stdin }: ChildProcessByStdio<Writable, null, null>, data: string | Buffer): Promise<void> {
  if (!stdin.write(data)) await once(stdin, 'drain');
}
