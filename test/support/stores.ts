import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import type { Dialect } from '../../src/store/migrations/migration.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';

export interface TestDatabase {
  readonly home: string;
  readonly databaseUrl: string | undefined;
  /** Another connection to the same database, as a second node has. */
  open(): Promise<Store>;
  remove(): Promise<void>;
}

export const dialects: readonly Dialect[] = ['sqlite', 'postgres'];

/** Why a dialect cannot be tested here, or undefined. */
export function missing(dialect: Dialect): string | undefined {
  const server = inject('postgres');
  return dialect === 'postgres' && 'missing' in server ? server.missing : undefined;
}

export function temporaryHome(): string {
  return mkdtempSync(join(tmpdir(), 'nightshift-test-'));
}

/** A new, empty database of its own. */
export async function createDatabase(dialect: Dialect): Promise<TestDatabase> {
  const home = temporaryHome();
  const removeHome = async (): Promise<void> => rmSync(home, { recursive: true, force: true });
  if (dialect === 'sqlite')
    return { home, databaseUrl: undefined, open: () => openStore({ home, databaseUrl: undefined }), remove: removeHome };

  const server = inject('postgres');
  if ('missing' in server) throw new Error(server.missing);
  const name = `test_${process.pid}_${Math.random().toString(36).slice(2)}`;
  // An order of letters that is not that of bytes: nothing may depend on which one a database was made with.
  await administer(server.url, `create database ${name} template template0 locale_provider icu icu_locale 'en-US'`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  const databaseUrl = url.toString();
  return {
    home,
    databaseUrl,
    open: () => openStore({ home, databaseUrl }),
    async remove() {
      await administer(server.url, `drop database ${name} with (force)`);
      await removeHome();
    },
  };
}

async function administer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
