import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { meaningOf } from '../../domain/meaning.ts';
import type { Priority, Trust } from '../../domain/task.ts';
import type { Tier } from '../../domain/tier.ts';
import type { Admission, Door, Reading, Source } from '../../inbox/source.ts';
import { fill } from './fill.ts';

/** A way in for any service that can post JSON and sign it. Texts may hold `{{path.to.a.value}}` of what it posts. */
export interface WebhookSetting {
  readonly name: string;
  /** What the sender signs with: an HMAC-SHA256 of the body, in hexadecimal. */
  readonly secret: string;
  /** The header that carries the signature. */
  readonly signatureHeader: string;
  /** Only deliveries in which these paths have these values are work. */
  readonly when: Readonly<Record<string, string>>;
  /** Names what a delivery is about: as long as there is work on it, there is no other. */
  readonly about?: string;
  readonly trust: Trust;
  /** Those that a delivery may name, or the beginning of them and `/*`; asked for where the task's has `{{…}}`. */
  readonly repositories: readonly string[];
  readonly task: {
    readonly title: string;
    readonly body?: string;
    readonly repository?: string;
    readonly ref?: string;
    readonly priority: Priority;
    readonly engine?: string;
    readonly verify?: readonly string[];
    readonly budgetUsd?: number;
    readonly profile?: string;
    readonly tier?: Tier;
    readonly labels?: readonly string[];
  };
}

/** Whether a repository is one of those that a pattern names; throws `Unusable` for a pattern that makes no sense. */
export type RepositoryPattern = (pattern: string, at: string) => (repository: string) => boolean;

const webhookSourceOf = (name: string): string => `webhook:${name}`;

/** Only what stays the same when a delivery comes again: many proxies give every request an id of its own. */
const deliveryHeaders = ['idempotency-key', 'webhook-id'];

/** Lets in what carries the signature. A sender that names its deliveries is recognised by that, others by their content. */
export function webhookDoor({ name, secret, signatureHeader }: WebhookSetting): Door {
  return {
    source: webhookSourceOf(name),
    admit(header, body): Admission {
      const given = header(signatureHeader);
      if (given === undefined)
        return { ok: false, status: 401, code: 'missing-signature', message: `The delivery carries no ${signatureHeader}.` };
      if (!isSignedBy(secret, body, given)) {
        return {
          ok: false,
          status: 401,
          code: 'wrong-signature',
          message: 'The signature does not fit the content. Check that both sides have the same secret.',
        };
      }
      if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(header('content-type') ?? '')) {
        return { ok: false, status: 415, code: 'not-json', message: 'Deliveries have to be application/json.' };
      }
      const named = deliveryHeaders.map(header).find((value) => value !== undefined && /^[\x21-\x7e]{1,200}$/.test(value));
      return { ok: true, key: named ?? createHash('sha256').update(body).digest('hex'), kind: 'delivery', headers: {} };
    },
  };
}

function isSignedBy(secret: string, body: Buffer, given: string): boolean {
  const expected = createHmac('sha256', secret).update(body).digest();
  const claimed = Buffer.from(given.replace(/^sha256=/i, ''), 'hex');
  return claimed.length === expected.length && timingSafeEqual(claimed, expected);
}

/** What a delivery means: the task of the settings, with its values filled in. They are from elsewhere, and said to be. */
export function webhookSource({ name, when, about, trust, repositories, task }: WebhookSetting, patternOf: RepositoryPattern): Source {
  const source = webhookSourceOf(name);
  const allowed = repositories.map((pattern, index) => patternOf(pattern, `webhooks: ${name}: repositories[${index}]`));
  const mayName = (repository: string): boolean => repository === task.repository || allowed.some((matches) => matches(repository));
  return {
    name: source,
    async read({ key }, bytes): Promise<Reading> {
      const posted = parsed(bytes);
      if (posted === undefined) return { kind: 'failed', reason: { code: 'not-json', message: 'Its content is no JSON.' } };
      const other = Object.entries(when).find(([path, value]) => fill(`{{${path}}}`, posted) !== value);
      if (other) {
        return { kind: 'ignored', reason: { code: 'not-wanted', message: `${other[0]} is not ${JSON.stringify(other[1])}.` } };
      }
      const title = fill(task.title, posted).replaceAll(/\s+/g, ' ').trim().slice(0, 500);
      if (title === '')
        return { kind: 'failed', reason: { code: 'no-title', message: 'What it posts leaves the title of the task empty.' } };
      const repository = task.repository === undefined ? null : fill(task.repository, posted);
      if (repository !== null && !mayName(repository)) {
        const message = `It names ${repository.slice(0, 200)}, which is not among the repositories of this web hook.`;
        return { kind: 'failed', reason: { code: 'repository-not-allowed', message } };
      }
      const subject = about === undefined ? undefined : fill(about, posted);
      const { title: _, body, repository: __, ref, ...rest } = task;
      return {
        kind: 'work',
        wanted: [
          {
            trigger: key,
            address: {},
            wish: {
              ...rest,
              title,
              source,
              requestedBy: source,
              trust,
              externalRef: (subject ?? key).slice(0, 500),
              dedupeKey: subject === undefined ? meaningOf({ title, repository }) : `${source}:${subject}`.slice(0, 500),
              ...(body === undefined ? {} : { body: fill(body, posted).slice(0, 500_000) }),
              ...(repository === null ? {} : { repository }),
              ...(ref === undefined ? {} : { ref: fill(ref, posted) }),
            },
          },
        ],
      };
    },
  };
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
