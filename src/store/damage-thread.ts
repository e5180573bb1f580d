import { parentPort, workerData } from 'node:worker_threads';
import Sqlite from 'better-sqlite3';

const database = new Sqlite(workerData as string, { readonly: true, fileMustExist: true, timeout: 60_000 });
try {
  parentPort?.postMessage(String(database.pragma('quick_check(3)', { simple: true })));
} finally {
  database.close();
}
