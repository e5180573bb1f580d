import { z } from '@hono/zod-openapi';
import { type Note, noteKinds, noteTrusts } from '../../domain/note.ts';

export const noteSchema = z
  .object({
    id: z.string().openapi({ example: 'nte_01KEXAMPLE000000000000000' }),
    kind: z.enum(noteKinds),
    repository: z.string().nullable().openapi({ description: 'Null is about all repositories.' }),
    title: z.string(),
    text: z.string(),
    origin: z
      .object({
        kind: z.enum(['person', 'task', 'run']),
        name: z.string().nullable(),
        taskId: z.string().nullable(),
        runId: z.string().nullable(),
      })
      .openapi({ description: 'Who said it.' }),
    trust: z.enum(noteTrusts),
    tags: z.array(z.string()),
    importance: z.number().int(),
    times: z.number().int().openapi({ description: 'How often it was said.' }),
    supersededBy: z.string().nullable().openapi({ description: 'The summary that stands for it; agents are reminded of that instead.' }),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .openapi('Note');

export const noteView = ({ hash: _, origin, ...note }: Note): z.infer<typeof noteSchema> => ({
  ...note,
  origin: {
    kind: origin.kind,
    name: origin.kind === 'person' ? origin.name : null,
    taskId: origin.kind === 'person' ? null : origin.taskId,
    runId: origin.kind === 'run' ? origin.runId : null,
  },
  tags: [...note.tags],
  createdAt: new Date(note.createdAt).toISOString(),
  updatedAt: new Date(note.updatedAt).toISOString(),
});
