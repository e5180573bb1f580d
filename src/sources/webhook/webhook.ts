import { createHash } from 'node:crypto';
import type { Priority, Trust } from '../../domain/task.ts';
import type { Tier } from '../../domain/tier.ts';
import { type SignatureForm, standardKey } from '../../domain/webhook-signature.ts';
import type { Admission, Door, Reading, Source } from '../../inbox/source.ts';
import type { Clock } from '../../platform/clock.ts';
import { meaningOf } from '../../queue/meaning.ts';
import { fill } from './fill.ts';
import { signsBody, signsStandard, type Verdict } from './signature.ts';

/** A way in for any service that can post JSON and sign it. Texts may hold `{{path.to.a.value}}` of what it posts. */
export interface WebhookSetting {
  readonly name: string;
  readonly secret: string;
  readonly signature: SignatureForm;
  /** The header that carries the signature of the body. */
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

/**
 * Lets in what carries the signature. A sender that names its deliveries is recognised by that, others by their content; where
 * the name is not signed, anybody who has seen a delivery could send it again under another, so its content decides besides.
 */
export function webhookDoor({ name, secret, signature, signatureHeader }: WebhookSetting, clock: Pick<Clock, 'now'>): Door {
  const key = signature === 'standard-webhooks' ? standardKey(secret) : undefined;
  const judge = (header: (name: string) => string | undefined, body: Buffer): Verdict => {
    if (!key) return signsBody(secret, body, header(signatureHeader), signatureHeader);
    const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(header);
    return signsStandard(key, { id, timestamp, signatures }, body, clock.now());
  };
  return {
    source: webhookSourceOf(name),
    admit(header, body): Admission {
      const verdict = judge(header, body);
      if (!verdict.ok) return { ...verdict, status: 401 };
      if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(header('content-type') ?? '')) {
        return { ok: false, status: 415, code: 'not-json', message: 'Deliveries have to be application/json.' };
      }
      const named = (key ? ['webhook-id'] : deliveryHeaders)
        .map(header)
        .find((value) => value !== undefined && /^[\x21-\x7e]{1,200}$/.test(value));
      const known = named ?? createHash('sha256').update(body).digest('hex');
      return { ok: true, key: known, kind: 'delivery', headers: {}, onceByContent: key === undefined };
    },
  };
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
