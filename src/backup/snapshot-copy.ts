import Sqlite from 'better-sqlite3';

const [path = '', into = ''] = process.argv.slice(2);
try {
  const database = new Sqlite(path, { readonly: true, fileMustExist: true, timeout: 60_000 });
  database.prepare('vacuum into ?').run(into);
  database.close();
} catch (error) {
  process.stderr.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
