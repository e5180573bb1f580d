import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { Refused } from '../../domain/errors.ts';
import { isId } from '../../domain/id.ts';
import { type NewNote, type NoteTrust, noteKinds, noteLimits, trustIn as noteTrustIn, noteTrusts } from '../../domain/note.ts';
import type { Reason } from '../../domain/outcome.ts';
import { noSuchNote } from '../../knowledge/memory/memory.ts';
import { findNote, listNotes, type NoteFilter, searchNotes } from '../../store/notes.ts';
import { trustIn } from '../access/caller.ts';
import type { App, AppEnv } from '../env.ts';
import { decodeCursor, encodeCursor, freeText, oneLine, pageSchema, repositorySchema, requireId } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { noteSchema, noteView } from '../views/notes.ts';

const tags = ['Notes'];
const idParam = z.object({ id: z.string().openapi({ example: 'nte_01KEXAMPLE000000000000000' }) });

const title = oneLine(noteLimits.title);
const text = freeText(noteLimits.text).refine((said) => said.trim() !== '', 'must not be blank');
const fields = {
  kind: z.enum(noteKinds).optional().openapi({ description: 'Default: learning.' }),
  repository: repositorySchema.nullable().optional().openapi({ description: 'What it is about; null is about all repositories.' }),
  trust: z.enum(noteTrusts).optional().openapi({
    description:
      'Untrusted ones are shown to agents as data, and what anybody but the owner writes is. Default: as trusted as who writes it.',
  }),
  tags: z.array(oneLine(noteLimits.tag)).max(noteLimits.tags).optional(),
  importance: z.number().int().min(1).max(10).optional().openapi({ description: 'Default: 5.' }),
};
const newNoteSchema = z.strictObject({ title, text, ...fields }).openapi('NewNote');
const noteChangeSchema = z
  .strictObject({ title: title.optional(), text: text.optional(), ...fields })
  .refine((change) => Object.values(change).some((value) => value !== undefined), 'name what is to be changed')
  .openapi('NoteChange');

const yes = z.enum(['true', 'false']).optional();

export function noteRoutes({ store, clock, memory, addressOf }: ServerParts): App {
  const router = newRouter();

  const canonical = (repository: string): string => {
    const address = addressOf(repository);
    if (address !== undefined) return address;
    throw new Refused(
      422,
      'invalid-repository',
      'That is no address of a repository: write a URL (https://…, git@host:path) or an absolute path.',
    );
  };
  const about = (repository: string | null | undefined): string | null | undefined =>
    typeof repository === 'string' ? canonical(repository) : repository;

  router.openapi(
    createRoute({
      method: 'get',
      path: '/notes',
      'x-role': 'viewer',
      tags,
      summary: 'List or search what is remembered',
      description:
        'Newest first; with `q` the most telling first, by their words, their age and their importance. Notes have all words that ' +
        'are asked for, or, where none has, some of them. Words are found by their stem, and names of code by their parts.',
      request: {
        query: z.strictObject({
          q: freeText(2_000).optional().openapi({ description: 'Any text; nothing in it is an operator.' }),
          repository: repositorySchema.optional(),
          global: yes.openapi({ description: 'Only notes about all repositories.' }),
          kind: z.enum(noteKinds).optional(),
          condensed: yes.openapi({ description: 'Also notes that a summary stands for.' }),
          ...pageSchema,
        }),
      },
      responses: {
        200: json(z.object({ items: z.array(noteSchema), nextCursor: z.string().nullable() }).openapi('NotePage'), 'A page.'),
        ...answers(400, 401, 422, 503),
      },
    }),
    async (context) => {
      const { q, limit = 50, cursor, repository, kind, ...flags } = context.req.valid('query');
      const filter: NoteFilter = {
        repository: flags.global === 'true' ? null : about(repository),
        kind,
        condensed: flags.condensed === 'true',
      };
      if (q !== undefined && q.trim() !== '') return context.json(await search(q, filter, cursor, limit), 200);
      const before = decodeCursor('notes', cursor, (position) => isId('note', position));
      const page = await listNotes(store.read, filter, { before, limit });
      return context.json({ items: page.items.map(noteView), nextCursor: encodeCursor('notes', page.next) }, 200);
    },
  );

  /** Its cursor is how many of which kind have been shown: a ranking has no other place to go on from. */
  async function search(q: string, filter: NoteFilter, cursor: string | undefined, limit: number) {
    const shown = decodeCursor('found-notes', cursor, (position) => /^(?:all|any)\d{1,6}$/.test(position)) ?? 'all0';
    const skip = Number(shown.slice(3));
    const page = (all: boolean) => searchNotes(store, q, { ...filter, all, now: clock.now() }, { skip, limit: limit + 1 });
    let all = shown.startsWith('all');
    let found = await page(all);
    if (all && skip === 0 && found.length === 0) {
      all = false;
      found = await page(all);
    }
    const next = found.length > limit ? `${all ? 'all' : 'any'}${skip + limit}` : null;
    return { items: found.slice(0, limit).map(noteView), nextCursor: encodeCursor('found-notes', next) };
  }

  router.openapi(
    createRoute({
      method: 'post',
      path: '/notes',
      'x-role': 'operator',
      tags,
      summary: 'Remember something',
      description: 'The same words about the same repository are one note that counts. What looks like a secret is blanked.',
      request: { body: { required: true, content: { 'application/json': { schema: newNoteSchema } } } },
      responses: {
        200: json(noteSchema, 'It was known; it counts once more.'),
        201: json(noteSchema, 'The note.'),
        ...answers(400, 401, 413, 415, 422, 503),
      },
    }),
    async (context) => {
      const { kind = 'learning', repository = null, trust, ...given } = context.req.valid('json');
      const wish: NewNote = {
        title: given.title,
        text: given.text,
        kind,
        trust: trustGiven(context, trust),
        repository: about(repository) ?? null,
        origin: { kind: 'person', name: context.get('user') },
        ...(given.tags === undefined ? {} : { tags: given.tags }),
        ...(given.importance === undefined ? {} : { importance: given.importance }),
      };
      const said = await store.write((tx) => memory.remember(tx, wish));
      if (!said.ok) throw refused(said.refusal);
      if (!said.isNew) return context.json(noteView(said.note), 200);
      return context.json(noteView(said.note), 201, { location: `/api/notes/${said.note.id}` });
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      path: '/notes/{id}',
      'x-role': 'viewer',
      tags,
      summary: 'Look at one note',
      request: { params: idParam },
      responses: { 200: json(noteSchema, 'The note.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const id = requireId('note', context.req.valid('param').id);
      const note = await findNote(store.read, id);
      if (!note) throw refused(noSuchNote(id));
      return context.json(noteView(note), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'patch',
      path: '/notes/{id}',
      'x-role': 'operator',
      tags,
      summary: 'Change a note; what is not named stays as it is',
      description: 'One that anybody but the owner changes is untrusted from then on.',
      request: { params: idParam, body: { required: true, content: { 'application/json': { schema: noteChangeSchema } } } },
      responses: { 200: json(noteSchema, 'The note as it is now.'), ...answers(400, 401, 404, 409, 413, 415, 422, 503) },
    }),
    async (context) => {
      const id = requireId('note', context.req.valid('param').id);
      const { repository, trust, ...given } = context.req.valid('json');
      const said = trustOfCaller(context) === 'trusted' ? trust : trustGiven(context, trust);
      const change = Object.fromEntries(
        Object.entries({ ...given, repository: about(repository), trust: said }).filter(([, value]) => value !== undefined),
      );
      const edited = await store.write((tx) => memory.edit(tx, id, change, context.get('user')));
      if (!edited.ok) throw refused(edited.refusal);
      return context.json(noteView(edited.note), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      path: '/notes/{id}',
      'x-role': 'operator',
      tags,
      summary: 'Forget a note',
      description: 'What a summary stood for counts again once that is deleted.',
      request: { params: idParam },
      responses: { 204: { description: 'It is gone.' }, ...answers(401, 404, 413, 503) },
    }),
    async (context) => {
      const id = requireId('note', context.req.valid('param').id);
      const gone = await store.write((tx) => memory.forget(tx, id, context.get('user')));
      if (!gone) throw refused(noSuchNote(id));
      return context.body(null, 204);
    },
  );

  return router;
}

/** A trusted note is an instruction to the owner's agents, so only the owner makes one. */
const trustOfCaller = (context: Context<AppEnv>): NoteTrust => noteTrustIn({ trust: trustIn(context.get('caller')) });

function trustGiven(context: Context<AppEnv>, wanted: NoteTrust | undefined): NoteTrust {
  const most = trustOfCaller(context);
  if (wanted !== 'trusted' || most === 'trusted') return wanted ?? most;
  throw new Refused(
    403,
    'role-needed',
    'Only the owner makes a note trusted. Leave trust out: the note is kept, and shown to agents as data.',
    {
      needed: 'owner',
    },
  );
}

const statuses: Readonly<Record<string, number>> = { 'no-such-note': 404, 'same-note': 409 };

const refused = ({ code, message }: Reason): Refused => new Refused(statuses[code] ?? 422, code, message);
