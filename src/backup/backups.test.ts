import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { until } from '../../test/support/server-process.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';
import { silentLog } from '../platform/log.ts';
import type { BackupParts } from './backup.ts';
import { type Backups, openBackups } from './backups.ts';

const hour = 3_600_000;
const tenMinutes = 600_000;

let database: TestDatabase;
let clock: ManualClock;
let backups: Backups | undefined;

beforeEach(async () => {
  database = await createDatabase('sqlite');
  await (await database.open()).close();
  clock = new ManualClock();
  const born = clock.now() / 1_000;
  writeFileSync(join(database.home, 'node-id'), 'nod_1');
  utimesSync(join(database.home, 'node-id'), born, born);
});

afterEach(async () => {
  await backups?.stop();
  await database.remove();
});

const directory = (): string => join(database.home, 'backups');

function open(more: Partial<BackupParts> = {}): Backups {
  backups = openBackups(
    {
      ...{ home: database.home, directory: directory(), databaseUrl: undefined, node: 'nod_1', schema: 1, version: '0', clock },
      ...{ path: process.env['PATH'] ?? '', env: {}, withoutSecrets: (text) => text, passphrase: undefined, keep: 2, log: silentLog },
      ...more,
    },
    1,
  );
  return backups;
}

/** Until the next look is set, which is when the one before is over and done with. */
const looked = (): Promise<unknown> => until('the look to be over', () => clock.pending === 1);

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += tenMinutes) {
    clock.advance(tenMinutes);
    await looked();
  }
}

const ages = async (): Promise<readonly number[]> =>
  ((await backups?.list()) ?? []).map(({ madeAt }) => Math.round((clock.now() - madeAt) / hour));

test('one comes each time that it is due, and the oldest goes', async () => {
  open();
  await looked();
  expect(await ages()).toEqual([]);
  await pass(hour);
  expect([await backups?.trouble(), await ages()]).toEqual([null, [0]]);
  await pass(3 * hour);
  expect(await ages()).toEqual([0, 1]);
  expect(readdirSync(directory()).filter((name) => name.endsWith('.sha256'))).toHaveLength(2);
  expect(await backups?.trouble()).toBe(null);
});

test('what a backup that was killed has left goes with the next start, and not what another server may be making', async () => {
  mkdirSync(join(directory(), '.nightshift-nod_1-abcdef'), { recursive: true });
  writeFileSync(join(directory(), '.nightshift-nod_1-abcdef.tar.gz'), 'half');
  mkdirSync(join(directory(), '.nightshift-nod_2-abcdef'));
  const now = clock.now() / 1_000;
  utimesSync(join(directory(), '.nightshift-nod_2-abcdef'), now, now);
  open();
  await until('it to be gone', () => readdirSync(directory()).length === 1);
  expect(readdirSync(directory())).toEqual(['.nightshift-nod_2-abcdef']);
});

test('one from a time to come, made while the clock was wrong, holds up no other', async () => {
  mkdirSync(directory());
  writeFileSync(join(directory(), 'nightshift-20360101T000000Z.tar.gz'), '');
  open();
  await looked();
  await pass(hour);
  expect(await ages()).toContain(0);
});

test('one that hangs is told as overdue, and while the first is being made nobody can say', async () => {
  const hanging = join(database.home, 'bin');
  mkdirSync(hanging);
  writeFileSync(join(hanging, 'tar'), '#!/bin/sh\nexec /usr/bin/tail -f /dev/null\n', { mode: 0o755 });
  open({ path: hanging });
  await looked();
  await pass(hour - tenMinutes);
  clock.advance(tenMinutes);
  await until('it to have begun', async () => (await backups?.trouble()) === undefined);
  clock.advance(hour + 1);
  expect(await backups?.trouble()).toContain('One has been due since 2026-01-01T01:00:00.000Z');
});
