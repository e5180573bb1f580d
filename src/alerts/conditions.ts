import { statfs } from 'node:fs/promises';
import { type AlertName, type AlertSetting, alertNames, type Trouble } from '../domain/alert.ts';
import { inUsd, type Limits, utcDay } from '../domain/budget.ts';
import type { Finding } from '../domain/examination.ts';
import type { Severity } from '../domain/notice.ts';
import { needsPerson } from '../domain/task.ts';
import type { Clock } from '../platform/clock.ts';
import { findCounters, limitsIn, noCounter } from '../store/budgets.ts';
import { inboxStanding, longestRun, type MailStanding, outboxStanding } from '../store/standing.ts';
import type { Store } from '../store/store.ts';
import { countOpen } from '../store/tasks.ts';
import type { Condition } from './condition.ts';
import type { Recent, TaskEnd } from './recent.ts';

export interface ConditionParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly home: string;
  readonly limits: Limits;
  readonly isPaused: () => Promise<boolean>;
  /** Of this node, those that are open now: `provider/model`. */
  readonly openBreakers: () => readonly string[];
  /** Tasks that ended, on all nodes. */
  readonly ends: Recent<TaskEnd>;
  /** Model calls of this node that providers failed. */
  readonly calls: Recent<'failed'>;
  /** Why this node has no backup that is new enough; null when all is well, undefined while that is not known. */
  readonly backupTrouble: () => Promise<string | null | undefined>;
  /** What the last examination of this node found to fail. */
  readonly failing: () => readonly Finding[];
  /** What an owner wants otherwise, by name. */
  readonly settings: Readonly<Partial<Record<AlertName, AlertSetting>>>;
}

/** What each is told by, unless the settings say otherwise. */
interface Rule {
  readonly severity: Severity;
  readonly scope: Condition['scope'];
  readonly forMinutes: number;
  /** What counts as wrong is more than this; what it counts is in docs/alerts.md. */
  readonly above: number;
  look(above: number): Promise<Trouble | null | undefined>;
}

const hour = 3_600_000;
const minute = 60_000;

/** Every condition that there is, as far as it is not switched off. */
export function conditionsOf(parts: ConditionParts): readonly Condition[] {
  const { settings } = parts;
  const rules = rulesOf(parts);
  return alertNames.flatMap((name) => {
    const rule = rules[name];
    const setting = settings[name];
    if (setting === 'off') return [];
    const forMs = (setting?.forMinutes ?? rule.forMinutes) * minute;
    return [{ name, severity: rule.severity, scope: rule.scope, forMs, look: () => rule.look(setting?.above ?? rule.above) }];
  });
}

function rulesOf(parts: ConditionParts): Readonly<Record<AlertName, Rule>> {
  const { store, clock, ends, calls } = parts;
  return {
    'failure-rate': {
      severity: 'warning',
      scope: 'everybody',
      forMinutes: 10,
      above: 0.1,
      async look(above) {
        const failed = ends.within(30, 'failed');
        const all = failed + ends.within(30, 'succeeded') + ends.within(30, 'other');
        // A node that has just begun to count does not know better than those that have seen it all.
        if (all < 5 && ends.sinceMs < 30 * minute) return undefined;
        if (all < 5 || failed / all <= above) return null;
        return {
          title: `${failed} of the last ${all} tasks failed`,
          text: 'Within half an hour. `nightshift tasks --status failed` shows them, each with its reason.',
        };
      },
    },
    'long-run': {
      severity: 'warning',
      scope: 'everybody',
      forMinutes: 0,
      above: 3_600,
      async look(above) {
        const since = await longestRun(store.read);
        if (since === null || clock.now() - since <= above * 1_000) return null;
        return {
          title: `A run has lasted ${minutes(clock.now() - since)}`,
          text: '`nightshift tasks --status running` shows which; `nightshift logs -f RUN` what it does; `nightshift cancel TASK` ends it.',
        };
      },
    },
    'queue-backlog': {
      severity: 'warning',
      scope: 'everybody',
      forMinutes: 30,
      above: 100,
      async look(above) {
        const waiting = await waitingTasks(store);
        return waiting > above
          ? {
              title: counted(waiting, ['task waits', 'tasks wait']),
              text: 'More comes in than is worked off. `nightshift status` shows who works on what.',
            }
          : null;
      },
    },
    'no-progress': {
      severity: 'critical',
      scope: 'everybody',
      forMinutes: 15,
      above: 0,
      async look(above) {
        const ended = ends.within(60, 'succeeded') + ends.within(60, 'failed') + ends.within(60, 'other');
        if (ended > 0) return null;
        if (ends.sinceMs < hour) return undefined;
        const waiting = await waitingTasks(store);
        if (waiting <= above) return null;
        const paused = (await parts.isPaused()) ? ' The queue is paused: `nightshift resume`.' : '';
        return {
          title: `${counted(waiting, ['task waits', 'tasks wait'])}, and for an hour none has ended`,
          text: `Is a budget used up, a provider out of order, or does every run hang? \`nightshift status\` says.${paused}`,
        };
      },
    },
    'person-needed': {
      severity: 'info',
      scope: 'everybody',
      forMinutes: 0,
      above: 0,
      async look(above) {
        const open = (await countOpen(store.read)).filter(({ status }) => needsPerson.includes(status));
        const count = open.reduce((sum, each) => sum + each.count, 0);
        if (count <= above) return null;
        const which = [...new Set(open.map(({ status }) => status))].join(',');
        return {
          title: `${counted(count, ['task waits', 'tasks wait'])} for a person`,
          text: `\`nightshift tasks --status ${which}\``,
        };
      },
    },
    'model-calls-failing': {
      severity: 'critical',
      scope: 'node',
      forMinutes: 0,
      above: 60,
      async look(above) {
        const failed = calls.within(5, 'failed');
        return failed > above
          ? {
              title: `${counted(failed, ['model call', 'model calls'])} failed within five minutes`,
              text: 'Agents wait and go on by themselves. `nightshift status` shows the breakers.',
            }
          : null;
      },
    },
    'breaker-open': {
      severity: 'warning',
      scope: 'node',
      forMinutes: 10,
      above: 0,
      async look(above) {
        const open = parts.openBreakers();
        return open.length > above
          ? { title: `No answer from ${open.join(', ')}`, text: 'Calls go to the next provider, or wait until it is back.' }
          : null;
      },
    },
    budget: {
      severity: 'warning',
      scope: 'everybody',
      forMinutes: 0,
      above: 0.9,
      look: (above) => spending(parts, 'day', above),
    },
    ceiling: {
      severity: 'critical',
      scope: 'everybody',
      forMinutes: 0,
      above: 0.9,
      look: (above) => spending(parts, 'ceiling', above),
    },
    'inbox-stuck': {
      severity: 'critical',
      scope: 'everybody',
      forMinutes: 0,
      above: 300,
      look: (above) =>
        stuck(parts, inboxStanding(store.read), 'received', above, 'What arrived has not been read', 'nightshift inbox --state received'),
    },
    'inbox-failed': {
      severity: 'warning',
      scope: 'everybody',
      forMinutes: 0,
      above: 0,
      look: (above) =>
        waitingForPerson(
          inboxStanding(store.read),
          'failed',
          above,
          ['delivery', 'deliveries'],
          'understood',
          '`nightshift inbox --state failed` shows them; `nightshift inbox replay ID` reads one again.',
        ),
    },
    'outbox-stuck': {
      severity: 'warning',
      scope: 'everybody',
      forMinutes: 0,
      above: 900,
      look: (above) =>
        stuck(parts, outboxStanding(store.read), 'waiting', above, 'An answer waits to be sent', 'nightshift outbox --state waiting'),
    },
    'dead-letters': {
      severity: 'warning',
      scope: 'everybody',
      forMinutes: 0,
      above: 0,
      look: (above) =>
        waitingForPerson(
          outboxStanding(store.read),
          'dead',
          above,
          ['message', 'messages'],
          'sent',
          '`nightshift outbox --state dead` says why; `nightshift outbox resend ID` tries again.',
        ),
    },
    disk: {
      severity: 'critical',
      scope: 'node',
      forMinutes: 0,
      above: 0.9,
      async look(above) {
        const { bavail, blocks, bsize } = await statfs(parts.home);
        const free = bavail * bsize;
        if (1 - bavail / blocks <= above && free > 2e9) return null;
        return {
          title: `${(free / 1e9).toFixed(1)} GB are left of the disk`,
          text: `Of ${parts.home}. When it is full nothing can be stored, so nothing is accepted and nothing begins.`,
        };
      },
    },
    backup: {
      severity: 'warning',
      scope: 'node',
      forMinutes: 60,
      above: 0,
      async look() {
        const trouble = await parts.backupTrouble();
        return typeof trouble === 'string' ? { title: 'No backup is made', text: trouble } : trouble;
      },
    },
    health: {
      severity: 'critical',
      scope: 'node',
      forMinutes: 0,
      above: 0,
      async look(above) {
        const failing = parts.failing();
        if (failing.length <= above) return null;
        return {
          title: `The server is not well: ${failing.map(({ check }) => check).join(', ')}`,
          text: failing.map(({ check, found, remedy = '' }) => `${check}: ${found}. ${remedy}`).join('\n'),
        };
      },
    },
  };
}

async function waitingTasks(store: Store): Promise<number> {
  const open = await countOpen(store.read);
  return open.reduce((sum, { status, count }) => sum + (status === 'queued' ? count : 0), 0);
}

async function spending({ store, clock, limits }: ConditionParts, scope: 'day' | 'ceiling', above: number): Promise<Trouble | null> {
  const day = `day:${utcDay(clock.now())}`;
  const limit = (await limitsIn(store.read, limits))[scope];
  const { spent, reserved } = (await findCounters(store.read, [day])).get(day) ?? noCounter;
  if (limit === null || limit === 0 || (spent + reserved) / limit <= above) return null;
  const left = `$${inUsd(Math.max(0, limit - spent - reserved)).toFixed(2)} are left of the $${inUsd(limit).toFixed(2)}`;
  return scope === 'day'
    ? {
        title: `${left} of today`,
        text: 'At nothing left, agents end over-budget with their work kept. `nightshift budget set day AMOUNT` allows more.',
      }
    : { title: `${left} of the daily ceiling`, text: 'There the queue is paused. `nightshift usage --by task` shows what it went into.' };
}

async function stuck(
  { clock }: ConditionParts,
  reading: Promise<readonly MailStanding[]>,
  state: MailStanding['state'],
  above: number,
  title: string,
  command: string,
): Promise<Trouble | null> {
  const late = (await reading).filter((each) => each.state === state && clock.now() - each.since > above * 1_000);
  if (late.length === 0) return null;
  const longest = clock.now() - Math.min(...late.map(({ since }) => since));
  return { title: `${title} for ${minutes(longest)} (${late.map(({ name }) => name).join(', ')})`, text: `\`${command}\`` };
}

async function waitingForPerson(
  reading: Promise<readonly MailStanding[]>,
  state: MailStanding['state'],
  above: number,
  what: readonly [one: string, many: string],
  done: string,
  text: string,
): Promise<Trouble | null> {
  const found = (await reading).filter((each) => each.state === state);
  const count = found.reduce((sum, each) => sum + each.count, 0);
  if (count <= above) return null;
  return { title: `${counted(count, what)} could not be ${done} (${found.map((each) => `${each.name}: ${each.count}`).join(', ')})`, text };
}

const minutes = (ms: number): string => counted(Math.round(ms / minute), ['minute', 'minutes']);

const counted = (count: number, [one, many]: readonly [one: string, many: string]): string => `${count} ${count === 1 ? one : many}`;
