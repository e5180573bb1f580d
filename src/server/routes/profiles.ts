import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../domain/errors.ts';
import { idPrefixes } from '../../domain/id.ts';
import { defaultProfile, type Profile, type ProfileSettings } from '../../domain/profile.ts';
import { placeholders, unknownPlaceholders } from '../../domain/prompt.ts';
import { tiers } from '../../domain/tier.ts';
import { deleteProfile, findProfile, insertProfile, listProfiles, replaceSettings } from '../../store/profiles.ts';
import type { App } from '../env.ts';
import { freeText, isProfileName, oneLine, profileName } from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';

const tags = ['Profiles'];
const nameParam = z.object({ name: z.string().openapi({ example: 'default' }) });

const profileSchema = z
  .object({
    id: z.string().openapi({ example: 'prf_01KEXAMPLE000000000000000' }),
    name: z.string(),
    description: z.string().nullable(),
    promptTemplate: z.string().nullable().openapi({ description: "What the agent is told; null: the task's title and body." }),
    instructions: z.string().nullable().openapi({ description: 'Added to the system prompt.' }),
    tier: z.enum(tiers).nullable(),
    model: z.string().nullable(),
    tools: z.array(z.string()).nullable().openapi({ description: 'The only tools there are; null: all of them.' }),
    limits: z.object({
      timeoutSeconds: z.number().int().nullable().openapi({ description: "Never more than the server's own." }),
      maxTurns: z.number().int().nullable(),
      budgetUsd: z.number().nullable().openapi({ description: 'Of tasks that name no budget of their own.' }),
    }),
    engine: z.string().nullable(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .openapi('Profile');

const notBlank = (max: number) => freeText(max).refine((text) => text.trim() !== '', 'must not be blank; null leaves it out');

const settings = {
  description: oneLine(500).nullable().optional(),
  promptTemplate: notBlank(100_000)
    .superRefine((template, context) => {
      const unknown = unknownPlaceholders(template);
      if (unknown.length === 0) return;
      const named = unknown.map((name) => `{{${name}}}`).join(', ');
      context.addIssue(`has placeholders that nothing can be put in for: ${named.slice(0, 150)}. There are ${placeholders.join(', ')}`);
    })
    .nullable()
    .optional()
    .openapi({
      description: `May have placeholders: ${placeholders.map((name) => `{{${name}}}`).join(', ')}. A body that it does not mention comes after it.`,
    }),
  instructions: notBlank(100_000).nullable().optional(),
  tier: z.enum(tiers).nullable().optional(),
  model: oneLine(200).nullable().optional(),
  tools: z
    .array(z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,127}$/, 'must be the name of a tool'))
    .max(200)
    .nullable()
    .optional(),
  limits: z
    .strictObject({
      timeoutSeconds: z.number().int().min(1).max(86_400).nullable().optional(),
      maxTurns: z.number().int().min(1).max(10_000).nullable().optional(),
      budgetUsd: z.number().positive().max(1_000_000).nullable().optional(),
    })
    .optional(),
  engine: oneLine(40).nullable().optional(),
};
const newProfileSchema = z.strictObject({ name: profileName, ...settings }).openapi('NewProfile');
const settingsSchema = z.strictObject(settings).openapi('ProfileSettings');

export function profileRoutes({ store, clock, newId, engines }: ServerParts): App {
  const router = newRouter();

  const settingsOf = ({ limits, ...given }: z.infer<typeof settingsSchema>): ProfileSettings => {
    const engine = given.engine ?? null;
    if (engine !== null && !engines.includes(engine)) {
      throw new Refused(422, 'unknown-engine', `There is no engine named ${JSON.stringify(engine)}; known: ${engines.join(', ')}.`);
    }
    return {
      description: given.description ?? null,
      promptTemplate: given.promptTemplate ?? null,
      instructions: given.instructions ?? null,
      tier: given.tier ?? null,
      model: given.model ?? null,
      tools: given.tools ? [...new Set(given.tools)] : null,
      timeoutSeconds: limits?.timeoutSeconds ?? null,
      maxTurns: limits?.maxTurns ?? null,
      budgetUsd: limits?.budgetUsd ?? null,
      engine,
    };
  };

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/profiles',
      tags,
      summary: 'List the profiles, by name',
      responses: { 200: json(z.object({ items: z.array(profileSchema) }), 'All of them.'), ...answers(401, 503) },
    }),
    async (context) => context.json({ items: (await listProfiles(store.read)).map(profileView) }, 200),
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'owner',
      path: '/profiles',
      tags,
      summary: 'Make a profile',
      request: { body: { required: true, content: { 'application/json': { schema: newProfileSchema } } } },
      responses: { 201: json(profileSchema, 'The profile.'), ...answers(400, 401, 409, 413, 415, 422, 503) },
    }),
    async (context) => {
      const { name, ...given } = context.req.valid('json');
      const now = clock.now();
      const profile: Profile = { id: newId(idPrefixes.profile), name, ...settingsOf(given), createdAt: now, updatedAt: now };
      if (!(await store.write((tx) => insertProfile(tx, profile)))) {
        throw new Refused(409, 'profile-exists', `There is a profile named ${name} already. PUT /api/profiles/${name} changes it.`);
      }
      return context.json(profileView(profile), 201, { location: `/api/profiles/${name}` });
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/profiles/{name}',
      tags,
      summary: 'Look at one profile',
      request: { params: nameParam },
      responses: { 200: json(profileSchema, 'The profile.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const name = requireName(context.req.valid('param').name);
      const profile = await findProfile(store.read, name);
      if (!profile) throw noSuchProfile(name);
      return context.json(profileView(profile), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'put',
      'x-role': 'owner',
      path: '/profiles/{name}',
      tags,
      summary: 'Replace all settings of a profile',
      description: 'What is left out goes back to what the server does without it. Runs that have begun keep what they began with.',
      request: { params: nameParam, body: { required: true, content: { 'application/json': { schema: settingsSchema } } } },
      responses: { 200: json(profileSchema, 'The profile as it is now.'), ...answers(400, 401, 404, 413, 415, 422, 503) },
    }),
    async (context) => {
      const name = requireName(context.req.valid('param').name);
      const wanted = settingsOf(context.req.valid('json'));
      const profile = await store.write((tx) => replaceSettings(tx, name, wanted, clock.now()));
      if (!profile) throw noSuchProfile(name);
      return context.json(profileView(profile), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      'x-role': 'owner',
      path: '/profiles/{name}',
      tags,
      summary: 'Delete a profile that no open task needs',
      request: { params: nameParam },
      responses: { 204: { description: 'It is gone.' }, ...answers(401, 404, 409, 413, 503) },
    }),
    async (context) => {
      const name = requireName(context.req.valid('param').name);
      if (name === defaultProfile) {
        throw new Refused(
          409,
          'profile-needed',
          'The default profile cannot be deleted: it is that of tasks that name none. It can be changed.',
        );
      }
      const deletion = await store.write((tx) => deleteProfile(tx, name));
      if (deletion.kind === 'not-found') throw noSuchProfile(name);
      if (deletion.kind === 'in-use') {
        const { openTasks } = deletion;
        const tasks = openTasks === 1 ? 'One open task is' : `${openTasks} open tasks are`;
        throw new Refused(409, 'profile-in-use', `${tasks} to run with ${name}. Wait for their end, or cancel them.`, { openTasks });
      }
      return context.body(null, 204);
    },
  );

  return router;
}

function profileView({ timeoutSeconds, maxTurns, budgetUsd, ...profile }: Profile): z.infer<typeof profileSchema> {
  return {
    ...profile,
    tools: profile.tools && [...profile.tools],
    limits: { timeoutSeconds, maxTurns, budgetUsd },
    createdAt: new Date(profile.createdAt).toISOString(),
    updatedAt: new Date(profile.updatedAt).toISOString(),
  };
}

function requireName(text: string): string {
  if (isProfileName(text)) return text;
  throw noSuchProfile(text);
}

const noSuchProfile = (name: string): Refused =>
  new Refused(404, 'no-such-profile', `There is no profile named ${JSON.stringify(name.slice(0, 60))}.`);
