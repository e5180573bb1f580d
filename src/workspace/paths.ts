import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';

// Names are bytes, and not always UTF-8: in here each byte is one character.
export const onDisk = (tree: string, path: string): Buffer => Buffer.concat([Buffer.from(`${tree}/`), Buffer.from(path, 'latin1')]);
export const look = (tree: string, path: string): Promise<Stats | undefined> => lstat(onDisk(tree, path)).catch(() => undefined);
export const readable = (path: string): string => Buffer.from(path, 'latin1').toString();
export const bytes = (lines: readonly string[]): Buffer => Buffer.from(lines.join(''), 'latin1');
export const listOf = (output: string): readonly string[] => output.split('\0').filter((path) => path !== '');
