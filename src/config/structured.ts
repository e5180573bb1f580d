import { z } from 'zod';
import { parseCommand } from '../domain/command-line.ts';
import { hookPoints, workPoints } from '../domain/hook.ts';
import { catchUps, faultOf } from '../domain/rhythm.ts';
import { priorities, trustLevels } from '../domain/task.ts';
import { tiers } from '../domain/tier.ts';
import { signatureForms, standardKey } from '../domain/webhook-signature.ts';

/** The settings that have a structure of their own, as they stand in nightshift.yaml. */

/** Digits and nothing else: what coercion would make of `true`, `[80]` or a blank is not what anybody meant. */
export const whole = (min: number, max: number) =>
  z
    .union([
      z.number(),
      z
        .string()
        .regex(/^\d{1,9}$/)
        .transform(Number),
    ])
    .pipe(z.int().min(min).max(max));
export const word = z.string().regex(/^[a-z0-9-]{1,40}$/, 'lower-case letters, digits and dashes');

const argv = z
  .union([z.string(), z.array(z.string())], { error: 'must be a command line or a list of arguments' })
  .transform((given, context) => {
    const parsed = parseCommand(typeof given === 'string' ? given : JSON.stringify(given));
    if (parsed) return [...parsed];
    context.addIssue('must be a command line with closed quotes, or a list that begins with a program');
    return z.NEVER;
  });

/** A path or a pattern alone, or with what goes for its items. */
const todoFile = z.union([
  z
    .string()
    .min(1)
    .transform((path) => ({ path })),
  z.strictObject({
    path: z.string().min(1),
    repository: z.string().min(1).exactOptional(),
    priority: z.enum(priorities).exactOptional(),
    notes: z.boolean().exactOptional(),
  }),
]);
export const todoFiles = z
  .union([z.string().transform((text) => text.split(',').flatMap((path) => path.trim() || [])), z.array(z.unknown())])
  .pipe(z.array(todoFile).max(100));
export const locateTodos = (list: z.output<typeof todoFiles>, absolute: (path: string) => string): z.output<typeof todoFiles> =>
  list.map((entry) => ({ ...entry, path: absolute(entry.path) }));

export const webhookSchema = z
  .strictObject({
    name: word,
    secret: z.string().min(8),
    signature: z.enum(signatureForms).default('body'),
    signatureHeader: z
      .string()
      .regex(/^[a-z0-9-]{1,60}$/i)
      .default('x-hub-signature-256'),
    when: z.record(z.string(), z.string()).default({}),
    about: z.string().min(1).exactOptional(),
    trust: z.enum(trustLevels).default('untrusted'),
    repositories: z.array(z.string().min(1).max(2_000)).max(1_000).default([]),
    task: z.strictObject({
      title: z.string().min(1).max(500),
      body: z.string().exactOptional(),
      repository: z.string().min(1).exactOptional(),
      ref: z.string().min(1).exactOptional(),
      priority: z.enum(priorities).default('high'),
      engine: word.default('claude'),
      verify: argv.exactOptional(),
      budgetUsd: z.number().positive().exactOptional(),
      profile: word.exactOptional(),
      tier: z.enum(tiers).exactOptional(),
      labels: z.array(z.string().min(1).max(100)).max(50).exactOptional(),
    }),
  })
  .superRefine(({ secret, signature, trust, repositories, task }, context) => {
    if (signature === 'standard-webhooks' && standardKey(secret) === undefined) {
      const message = 'must be whsec_ and 24 to 64 bytes in base64, as the service shows it';
      context.addIssue({ code: 'custom', path: ['secret'], message });
    }
    // Whoever signs passes on what others wrote, and none of those is to choose what is run here or what is read.
    if (task.engine === 'command' && isFilled(task.body)) {
      context.addIssue({ code: 'custom', path: ['task', 'body'], message: 'has {{…}}, so what is posted would be run as a command' });
    }
    if (trust === 'owner' && isFilled(task.repository)) {
      const message = 'has {{…}}, so what is posted could name a directory of this machine; say trust: known';
      context.addIssue({ code: 'custom', path: ['task', 'repository'], message });
    } else if (isFilled(task.repository) && repositories.length === 0) {
      const message = 'has {{…}}, so what is posted could name any repository; list those that it may name under repositories';
      context.addIssue({ code: 'custom', path: ['task', 'repository'], message });
    }
  });

const isFilled = (text: string | undefined): boolean => text?.includes('{{') === true;

export const scheduleSchema = z
  .strictObject({
    name: word,
    cron: z.string().min(1),
    timezone: z.string().min(1).exactOptional(),
    catchUp: z.enum(catchUps).default('one'),
    task: z.strictObject({
      title: z.string().min(1).max(500),
      body: z.string().exactOptional(),
      repository: z.string().min(1).exactOptional(),
      ref: z.string().min(1).exactOptional(),
      priority: z.enum(priorities).default('low'),
      engine: word.exactOptional(),
      verify: argv.exactOptional(),
      budgetUsd: z.number().positive().exactOptional(),
      profile: word.exactOptional(),
      tier: z.enum(tiers).exactOptional(),
      labels: z.array(z.string().min(1).max(100)).max(50).exactOptional(),
    }),
  })
  .superRefine(({ cron, timezone }, context) => {
    const fault = faultOf({ cron, timezone });
    if (fault !== undefined) context.addIssue({ code: 'custom', path: ['cron'], message: `${JSON.stringify(cron)} is no use: ${fault}` });
  });

const hook = z
  .strictObject({
    id: word.optional(),
    on: z.enum(hookPoints, { error: `must be one of ${hookPoints.join(', ')}` }),
    command: argv.optional(),
    module: z.string().min(1).optional(),
    timeoutSeconds: whole(1, 3_600).optional(),
    tools: z.array(z.string().min(1).max(200)).min(1).max(100).exactOptional(),
    required: z.boolean().exactOptional(),
    wait: z.boolean().exactOptional(),
  })
  .superRefine(({ on, tools, required, wait }, context) => {
    const atWork = (workPoints as readonly string[]).includes(on);
    if (tools && on !== 'pre-tool' && on !== 'tool-complete') context.addIssue(`has tools, which say nothing at ${on}`);
    if (required !== undefined && on !== 'pre-tool') context.addIssue(`has required, which says nothing at ${on}`);
    if (wait !== undefined && (!atWork || on === 'pre-tool')) context.addIssue(`has wait, which says nothing at ${on}`);
  })
  // An agent that waits before each use of a tool gets little done.
  .transform(({ timeoutSeconds, ...rest }) => ({ ...rest, timeoutSeconds: timeoutSeconds ?? (rest.on === 'pre-tool' ? 10 : 30) }))
  .transform(({ command, module, ...rest }, context) => {
    if (command && module === undefined) return { ...rest, command };
    if (module !== undefined && !command) return { ...rest, module };
    context.addIssue('must have either a command or a module');
    return z.NEVER;
  });

/** In the order in which they are called. One without an id is called after its point and its place in the list. */
export const hooks = z
  .array(hook)
  .transform((list) => list.map((each, index) => ({ ...each, id: each.id ?? `${each.on}-${index + 1}` })))
  .superRefine((list, context) => {
    list.forEach(({ id }, index) => {
      if (list.findIndex((each) => each.id === id) < index) {
        context.addIssue({ code: 'custom', path: [index, 'id'], message: `"${id}" is the id of another hook` });
      }
    });
  });

/** Relative paths are meant from the file in which the hooks stand; a program without a slash is looked for on the PATH. */
export const locateHooks = (list: z.output<typeof hooks>, absolute: (path: string) => string): z.output<typeof hooks> =>
  list.map((each) => {
    if ('module' in each) return { ...each, module: absolute(each.module) };
    const [program = '', ...args] = each.command;
    return program.includes('/') ? { ...each, command: [absolute(program), ...args] } : each;
  });
