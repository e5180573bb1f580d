import Sqlite from 'better-sqlite3';

const [path = ''] = process.argv.slice(2);
try {
  const database = new Sqlite(path, { readonly: true, fileMustExist: true, timeout: 60_000 });
  process.stdout.write(String(database.pragma('quick_check(3)', { simple: true })));
  database.close();
} catch (error) {
  process.stderr.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
