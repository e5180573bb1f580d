import { z } from '@hono/zod-openapi';

/** What views are made of. Times are ISO 8601 in UTC; what is not set is null. */

export const time = z.iso.datetime().nullable();

export const reasonSchema = z.object({ code: z.string(), message: z.string() }).nullable();

export const moment = z.string().openapi({ format: 'date-time' });

export const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
