import { Hono } from 'hono';
import { beforeEach, expect, test } from 'vitest';
import type { AppEnv } from './env.ts';
import { limitLargeBodies } from './large-bodies.ts';

let app: Hono<AppEnv>;
let finish: (() => void)[];

beforeEach(() => {
  finish = [];
  app = new Hono<AppEnv>();
  app.use(limitLargeBodies({ small: 100, longest: 1_000, room: 2_000 }));
  app.post('/', async (context) => {
    await new Promise<void>((resolve) => finish.push(resolve));
    return context.text('stored');
  });
});

const post = async (headers: Record<string, string>): Promise<Response> => app.request('/', { method: 'POST', headers });
const begun = (count: number): Promise<void> => expect.poll(() => finish.length).toBe(count);

test('lets in as many large bodies as there is room for, tells others when to come again, and keeps no small one waiting', async () => {
  const large = [post({ 'content-length': '1000' }), post({ 'transfer-encoding': 'chunked' })];
  await begun(2);
  const refused = await post({ 'content-length': '101' });
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
  expect(await refused.json()).toMatchObject({ code: 'too-much-at-once' });
  const small = post({ 'content-length': '100' });
  await begun(3);
  for (const each of finish) each();
  expect(await Promise.all([...large, small].map(async (answer) => (await answer).status))).toEqual([200, 200, 200]);

  const next = post({ 'content-length': '1000' });
  await begun(4);
  finish[3]?.();
  expect((await next).status).toBe(200);
});

test('gives the room back when something breaks', async () => {
  const broken = new Hono<AppEnv>();
  broken.use(limitLargeBodies({ small: 100, longest: 1_000, room: 1_000 }));
  broken.post('/', () => {
    throw new Error('broken');
  });
  broken.onError((_, context) => context.text('broken', 500));
  for (let n = 0; n < 3; n++) {
    expect((await broken.request('/', { method: 'POST', headers: { 'content-length': '1000' } })).status).toBe(500);
  }
});
