import { expect, test } from 'vitest';
import { whereOf } from './snapshot.ts';

test.each([
  ['postgres://u:p%40ss@[::1]:5433/db', { PGHOST: '::1', PGPORT: '5433', PGUSER: 'u', PGPASSWORD: 'p@ss', PGDATABASE: 'db' }],
  ['postgres://[fe80::1]/db', { PGHOST: 'fe80::1', PGDATABASE: 'db' }],
  ['postgresql://db.example/work?sslmode=require', { PGHOST: 'db.example', PGDATABASE: 'work', PGSSLMODE: 'require' }],
  ['postgres:///db?host=/run/postgresql', { PGHOST: '/run/postgresql', PGDATABASE: 'db' }],
])('%s is told to pg_dump as it wants it', (address, env) => {
  expect(whereOf(address)).toEqual(env);
});
