import { z } from '@hono/zod-openapi';
import { severities } from '../../domain/notice.ts';
import { moment } from './values.ts';

export const alertSchema = z
  .object({
    name: z.string().openapi({ example: 'dead-letters' }),
    node: z.string().nullable().openapi({ description: 'Null for what is everybody’s.' }),
    severity: z.enum(severities),
    title: z.string(),
    text: z.string(),
    since: moment,
    raisedAt: moment
      .nullable()
      .openapi({ description: 'When people were told; null while it is not known to stay, or while it is silenced.' }),
    silencedUntil: moment.nullable(),
  })
  .openapi('Alert');

export const silenceSchema = z.object({ name: z.string(), until: moment, by: z.string() }).openapi('Silence');

export const alertsSchema = z
  .object({
    items: z.array(alertSchema),
    silences: z.array(silenceSchema),
    conditions: z.array(z.string()).openapi({ description: 'Every condition that is looked at.' }),
    channels: z.array(z.string()),
  })
  .openapi('Alerts');
