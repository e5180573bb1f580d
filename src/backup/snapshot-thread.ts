import { workerData } from 'node:worker_threads';
import Sqlite from 'better-sqlite3';

const { database, into } = workerData as { readonly database: string; readonly into: string };
const source = new Sqlite(database, { readonly: true, fileMustExist: true, timeout: 60_000 });
try {
  source.prepare('vacuum into ?').run(into);
} finally {
  source.close();
}
