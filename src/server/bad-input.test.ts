import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Api, type ApiTask, type ProblemBody, startTestServer, type TestServer } from '../../test/support/server.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';

const controlCharacters = [0, 1, 7, 8, 9, 10, 13, 27, 31, 127, 0x80, 0x9b, 0x9f];
const lineBreaksAndDirections = [0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069];

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`bad input on ${dialect}`, () => {
    let database: TestDatabase;
    let server: TestServer;
    let api: Api;

    beforeAll(async () => {
      database = await createDatabase(dialect);
      server = await startTestServer(database);
      ({ api } = server);
      await api.call('POST', '/api/queue/pause');
    });

    afterAll(async () => {
      await server?.running.stop();
      await database?.remove();
    });

    const post = (body: unknown, headers: Readonly<Record<string, string>> = {}) => api.refusal('POST', '/api/tasks', { body, headers });
    const refusedField = async (field: string, value: unknown): Promise<void> => {
      const answer = await post({ title: 'x', body: 'true', [field]: value });
      expect(answer, `${field} = ${JSON.stringify(value)?.slice(0, 60)}`).toMatchObject({ status: 400, code: 'invalid-request' });
      expect(answer.errors?.[0]?.path.split('.')[0]).toBe(field);
    };

    test('text that is not JSON is refused as such', async () => {
      for (const body of ['', '{', 'title=x', '{"title": "x",}', "{'title': 'x'}", '{"title": "a\u0000b"}', '\ufeff', 'undefined', 'NaN']) {
        expect(await post(body), body).toMatchObject({ status: 400, code: 'invalid-request' });
      }
      expect(await post(new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]))).toMatchObject({ status: 400 });
    });

    test('JSON that is no object is refused', async () => {
      for (const body of ['null', '[]', '"title"', '7', 'true']) expect(await post(body), body).toMatchObject({ status: 400 });
    });

    test('a body that does not say it is JSON is refused as that', async () => {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonx', '']) {
        const answer = await post('{"title":"x","body":"true"}', { 'content-type': type });
        expect(answer, type).toMatchObject({ status: 415, code: 'not-json' });
      }
      const { id } = await api.submit({ title: 'x' });
      expect(
        await api.refusal('PATCH', `/api/tasks/${id}`, { body: '{"priority":"low"}', headers: { 'content-type': 'text/plain' } }),
      ).toMatchObject({ status: 415 });
      for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/merge-patch+json']) {
        expect(
          (await api.call('POST', '/api/tasks', { body: '{"title":"x","body":"true"}', headers: { 'content-type': type } })).status,
        ).toBe(201);
      }
    });

    test('fields of another type are refused, each by name', async () => {
      for (const [field, values] of Object.entries({
        title: [null, 7, {}, ['x'], true],
        body: [7, {}, null],
        repository: [7, ''],
        ref: [{}, ' '],
        priority: ['urgent', 'HIGH', 1, null],
        dependsOn: ['tsk_01ARZ3NDEKTSV4RRFFQ69G5FAV', [7], [null], ['x'], {}],
        notBefore: [1_767_225_600, 'tomorrow', null, ''],
        dedupeKey: [7, ''],
        budgetUsd: ['2', null, -1, 0, 1_000_001],
        verify: [7, '', [], [7], '"open', ['a\0b'], '   ', '[]', '[1]', [''], null],
        engine: [7, ''],
      })) {
        for (const value of values) await refusedField(field, value);
      }
    });

    test('unknown fields are refused, and those that would reach into prototypes do nothing', async () => {
      const answer = await post({ title: 'x', body: 'true', Priority: 'high', status: 'succeeded' });
      expect(answer).toMatchObject({ status: 400 });
      expect(answer.detail).toMatch(/Priority.*status/);
      for (const body of [
        '{"title":"x","body":"true","__proto__":{"priority":"high"}}',
        '{"title":"x","body":"true","constructor":{"prototype":{"priority":"high"}}}',
      ]) {
        const { status, body: task } = await api.call<ApiTask>('POST', '/api/tasks', { body });
        if (status === 201) expect(task.priority).toBe('medium');
        else expect(status).toBe(400);
      }
      expect('priority' in {}).toBe(false);
    });

    test('of a key that is given twice, the last counts', async () => {
      const { body } = await api.call<ApiTask>('POST', '/api/tasks', { body: '{"title":"first","title":"last","body":"true"}' });
      expect(body.title).toBe('last');
    });

    test('a title is one line that says something', async () => {
      for (const title of ['', ' ', '\u00a0\u3000', 'x'.repeat(501), 'two\nlines']) await refusedField('title', title);
      for (const code of [...controlCharacters, ...lineBreaksAndDirections]) await refusedField('title', `a${String.fromCodePoint(code)}b`);
      expect((await api.submit({ title: 'x'.repeat(500) })).title).toHaveLength(500);
    });

    test('halves of characters are refused everywhere', async () => {
      for (const half of ['\ud800', '\udfff', 'a\ud83db', '\udc00\ud800']) {
        for (const field of ['title', 'body', 'repository', 'ref', 'dedupeKey']) {
          expect(await post(`{"title":"x","body":"true","${field}":${escaped(half)}}`)).toMatchObject({
            status: 400,
            errors: [{ path: field }],
          });
        }
      }
    });

    test('NUL is refused everywhere, and other control characters are kept in a body', async () => {
      for (const field of ['title', 'body', 'repository', 'ref', 'dedupeKey', 'engine']) await refusedField(field, 'a\0b');
      const body = '["printf", "\\u001b[1m\\t\\u2028\\u202e\\r\\n"]';
      expect((await api.submit({ title: 'x', body })).body).toBe(body);
    });

    test('text of every Unicode plane comes back as it went in', async () => {
      const text = Array.from({ length: 17 }, (_, plane) => String.fromCodePoint(plane * 0x10000 + 0x4e2d)).join('');
      const noncharacters = '\ufffe\uffff\u{1fffe}\u{10ffff}\ufdd0';
      const joined = '👩‍👩‍👧‍👦 e\u0301 é \u200f ﷽ \u200b';
      const wish = {
        title: text + noncharacters + joined,
        body: JSON.stringify(['echo', text + noncharacters, joined]),
        repository: `/srv/${text}`,
        ref: text,
        dedupeKey: text + joined,
        verify: ['echo', text],
      };
      const created = await api.submit(wish);
      expect(created).toMatchObject(wish);
      expect(await api.task(created.id)).toMatchObject(wish);
      const listed = await api.call<{ items: ApiTask[] }>('GET', `/api/tasks?repository=${encodeURIComponent(wish.repository)}`);
      expect(listed.body.items.map(({ id }) => id)).toEqual([created.id]);
    });

    test('fields at their limit are stored whatever they are made of, and beyond it refused', async () => {
      // Random text does not compress, which is what makes an index entry too long.
      const random = (length: number): string =>
        Array.from({ length }, () => String.fromCharCode(0x4e00 + Math.floor(Math.random() * 0x5000))).join('');
      expect((await api.submit({ title: random(500), ref: random(255), dedupeKey: random(500), repository: random(666) })).id).toMatch(
        /^tsk_/,
      );
      await refusedField('repository', random(2_000));
      await refusedField('repository', 'r'.repeat(2_001));
      await refusedField('ref', 'r'.repeat(256));
      await refusedField('dedupeKey', 'd'.repeat(501));
      await refusedField('body', 'b'.repeat(500_001));
      const body = JSON.stringify(['true', 'b'.repeat(499_000)]);
      expect((await api.submit({ title: 'long', body })).body).toBe(body);
    });

    test('numbers out of range are refused, the smallest and the largest are kept', async () => {
      for (const number of ['1e999', '-1e999', '-0.01', '0', '1000000.01']) {
        expect(await post(`{"title":"x","body":"true","budgetUsd":${number}}`), number).toMatchObject({ errors: [{ path: 'budgetUsd' }] });
      }
      for (const budgetUsd of [5e-324, 0.1 + 0.2, 1_000_000]) {
        expect((await api.task((await api.submit({ title: 'x', budgetUsd })).id)).budgetUsd).toBe(budgetUsd);
      }
    });

    test('a time is one that exists, with its offset', async () => {
      for (const time of [
        '2026-01-01',
        '2026-01-01T00:00:00',
        '2026-02-30T00:00:00Z',
        '2026-01-01T24:00:00Z',
        '2026-01-01T00:00:60Z',
        '2026-01-01T00:00:00+25:00',
        '2026-01-01T00:00:00+0200',
        '10000-01-01T00:00:00Z',
        '+010000-01-01T00:00:00Z',
        '9999-12-31T23:59:59-23:59',
        '0000-01-01T00:00:00+23:59',
        ' 2026-01-01T00:00:00Z',
      ]) {
        await refusedField('notBefore', time);
      }
    });

    test('a time in the past is now, and one in the year 9999 is kept', async () => {
      expect(await api.submit({ title: 'x', notBefore: '1970-01-01T00:00:00Z' })).toMatchObject({ status: 'queued' });
      expect(await api.submit({ title: 'x', notBefore: '0001-01-01T00:00:00Z' })).toMatchObject({ status: 'queued' });
      const far = await api.submit({ title: 'x', notBefore: '9999-12-31T23:59:59.999Z' });
      expect(far).toMatchObject({ status: 'delayed', notBefore: '9999-12-31T23:59:59.999Z' });
      expect((await api.call<ApiTask>('PATCH', `/api/tasks/${far.id}`, { body: { priority: 'low' } })).body.priority).toBe('low');
    });

    test('deep nesting is refused and hurts nobody', async () => {
      const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
      expect(await post(deep)).toMatchObject({ status: 400 });
      expect(await post(`{"title":"x","body":"true","verify":${deep}}`)).toMatchObject({ status: 400 });
      expect(await post(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`)).toMatchObject({ status: 400 });
    });

    test('a thousand dependencies are fine, and more are refused with advice', async () => {
      const ids = (await Promise.all(Array.from({ length: 1_000 }, (_, i) => api.submit({ title: `parent ${i}` })))).map(({ id }) => id);
      const child = await api.submit({ title: 'child', dependsOn: ids });
      expect(child).toMatchObject({ status: 'blocked', dependsOn: [...ids].sort() });
      const more = await post({ title: 'x', body: 'true', dependsOn: [...ids, ...ids] });
      expect(more).toMatchObject({ status: 400, errors: [{ path: 'dependsOn', message: expect.stringContaining('at most 1000') }] });
      expect(
        (await post({ title: 'x', body: 'true', dependsOn: Array.from({ length: 20_000 }, () => 'x') })).errors?.length,
      ).toBeLessThanOrEqual(50);
      const ghosts = Array.from({ length: 1_000 }, (_, i) => `tsk_${String(i).padStart(26, '0')}`);
      const unknown = await post({ title: 'x', body: 'true', dependsOn: ghosts });
      expect(unknown).toMatchObject({ status: 422, code: 'unknown-dependency' });
      expect(unknown.detail).toContain('1000 tasks');
    });

    test('an answer to a monstrous request is no monster itself', async () => {
      const keys = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`key-number-${i}`, 1]));
      for (const body of [keys, { title: 'x', body: 'true', ...keys }, { title: 'x', body: 'true', dependsOn: ['x'.repeat(900_000)] }]) {
        expect(JSON.stringify(await post(body)).length).toBeLessThan(20_000);
      }
    });

    test('a body of a gigabyte is refused at the first bytes, with its length told or not', async () => {
      for (const told of [true, false]) {
        const { status, body, sent } = await sendForever(api, told ? 2 ** 30 : undefined);
        expect({ status, code: body.code }).toEqual({ status: 413, code: 'body-too-large' });
        expect(sent).toBeLessThan(32 * 2 ** 20);
      }
      expect(await post(`{"title":"x","body":"${'b'.repeat(2 ** 20)}"}`)).toMatchObject({ status: 413, code: 'body-too-large' });
    });

    test('a body on a route that takes none is refused by size as well', async () => {
      const { id } = await api.submit({ title: 'x' });
      const { status } = await sendForever(api, undefined, `/api/tasks/${id}/cancel`);
      expect(status).toBe(413);
    });

    test('lines that are too long, and bytes that are no HTTP, do not disturb it', async () => {
      expect(await sendRaw(api, `GET /api/tasks?cursor=${'x'.repeat(100_000)} HTTP/1.1\r\nhost: x\r\n\r\n`)).toMatch(/^HTTP\/1.1 431 /);
      expect(await sendRaw(api, '\x16\x03\x01\x02\x00\x01\x00\x01')).toMatch(/^HTTP\/1.1 400 /);
      expect(await sendRaw(api, 'GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n')).toMatch(
        /^HTTP\/1.1 400 /,
      );
      expect((await api.call('GET', '/health')).status).toBe(200);
    });
  });
}

/** As JSON with every code unit escaped: JSON.stringify and UTF-8 would both mend a half. */
const escaped = (text: string): string =>
  `"${Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`;

/** Sends a body that would be a gigabyte, until there is an answer. */
function sendForever(
  api: Api,
  length: number | undefined,
  path = '/api/tasks',
): Promise<{ readonly status: number; readonly body: ProblemBody; readonly sent: number }> {
  return new Promise((resolve, reject) => {
    const chunk = Buffer.alloc(256 * 1024, ' ');
    let answered = false;
    const sending = request(api.address + path, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${api.token}`,
        'content-type': 'application/json',
        ...(length === undefined ? {} : { 'content-length': length }),
      },
    });
    sending.on('error', (error) => answered || reject(error));
    sending.on('response', (response) => {
      answered = true;
      let text = '';
      response.on('data', (data: Buffer) => {
        text += data.toString();
      });
      response.on('end', () => {
        const sent = sending.socket?.bytesWritten ?? 0;
        sending.destroy();
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as ProblemBody, sent });
      });
      response.on('error', reject);
    });
    const push = (): void => {
      while (!answered && !sending.destroyed && sending.write(chunk));
      if (!answered) sending.once('drain', push);
    };
    push();
  });
}

function sendRaw(api: Api, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(api.address);
    const socket = connect(Number(port), hostname, () => socket.write(bytes, 'latin1'));
    let text = '';
    socket.on('data', (data) => {
      text += data.toString();
    });
    socket.on('close', () => resolve(text));
    // It may hang up while we still speak; what counts is what it said.
    socket.on('error', (error: NodeJS.ErrnoException) => error.code === 'ECONNRESET' || reject(error));
  });
}
