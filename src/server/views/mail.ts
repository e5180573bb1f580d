import { z } from '@hono/zod-openapi';
import { type Delivery, deliveryStates, type Message, messageStates } from '../../domain/mail.ts';
import { iso, reasonSchema, time } from './values.ts';

export const deliverySchema = z
  .object({
    id: z.string().openapi({ example: 'inb_01KEXAMPLE000000000000000' }),
    source: z.string(),
    key: z.string().openapi({ description: "The sender's own id of it." }),
    kind: z.string(),
    state: z.enum(deliveryStates),
    reason: reasonSchema.openapi({ description: 'Why it was ignored, failed, or is tried again.' }),
    attempts: z.number().int(),
    taskIds: z.array(z.string()).openapi({ description: 'The tasks that it has become.' }),
    bodySize: z.number().int(),
    bodyHash: z.string(),
    receivedAt: z.iso.datetime(),
    settledAt: time,
  })
  .openapi('Delivery');

export const wholeDeliverySchema = z
  .object({
    ...deliverySchema.shape,
    body: z.string().nullable().openapi({ description: 'As it came; null once it is old (`keepMailDays`).' }),
  })
  .openapi('WholeDelivery');

export const messageSchema = z
  .object({
    id: z.string().openapi({ example: 'msg_01KEXAMPLE000000000000000' }),
    channel: z.string(),
    recipient: z.string(),
    kind: z.string(),
    key: z.string(),
    taskId: z.string().nullable(),
    body: z.unknown().openapi({ description: 'What it says, as the channel has it; null once it was sent long ago (`keepMailDays`).' }),
    state: z.enum(messageStates),
    reason: reasonSchema.openapi({ description: 'Why it waits or was given up.' }),
    revision: z.number().int(),
    sentRevision: z.number().int().nullable(),
    ref: z.string().nullable().openapi({ description: 'What the other side calls it.' }),
    attempts: z.number().int(),
    notBefore: z.iso.datetime(),
    createdAt: z.iso.datetime(),
    sentAt: time,
  })
  .openapi('Message');

export function deliveryView(delivery: Delivery): z.infer<typeof deliverySchema> {
  const { id, source, key, kind, state, reason, attempts, taskIds, bodySize, bodyHash, receivedAt, settledAt } = delivery;
  return {
    id,
    source,
    key,
    kind,
    state,
    reason,
    attempts,
    taskIds: [...taskIds],
    bodySize,
    bodyHash,
    receivedAt: new Date(receivedAt).toISOString(),
    settledAt: iso(settledAt),
  };
}

export function messageView(message: Message): z.infer<typeof messageSchema> {
  const { id, channel, recipient, kind, key, body, state, reason, revision, sentRevision, ref, attempts } = message;
  return {
    id,
    channel,
    recipient,
    kind,
    key,
    taskId: message.taskId ?? null,
    body,
    state,
    reason,
    revision,
    sentRevision,
    ref,
    attempts,
    notBefore: new Date(message.notBefore).toISOString(),
    createdAt: new Date(message.createdAt).toISOString(),
    sentAt: iso(message.sentAt),
  };
}
