import { basename } from 'node:path';
import type { Reading, Source } from '../../inbox/source.ts';
import { meaningOf } from '../../queue/meaning.ts';
import type { Wish } from '../../queue/queue.ts';
import type { Store } from '../../store/store.ts';
import { findItems, overdueOf, type TodoRow } from '../../store/todo.ts';
import { whatBecameOf } from '../../store/triggers.ts';
import { type TodoAddress, todoSource, triggerOf } from './address.ts';
import { entryOf, repositoryAround, type TodoFiles } from './files.ts';
import type { TodoWish } from './scan.ts';

/** What the items of TODO files mean. They are the owner's: only who may write to the owner's files can change them. */
export function todoFiles({ store, entries }: { readonly store: Store; readonly entries: readonly TodoFiles[] }): Source {
  return {
    name: todoSource,
    async read(_, body): Promise<Reading> {
      const wish = JSON.parse(body.toString('utf8')) as TodoWish;
      const rows = await findItems(store.read, [wish.key, ...wish.after]);
      const row = rows.get(wish.key);
      if (!row || row.place === null || row.checked || row.revision !== wish.revision) {
        return {
          kind: 'ignored',
          reason: { code: 'superseded', message: 'The item was ticked, reworded or removed before its turn came.' },
        };
      }
      // Its earlier task must be out of the way, or this would be taken for the same work.
      if ((await overdueOf(store.read, wish.file)).some(({ key }) => key === wish.key))
        return later('Its task from before is being called off.');
      const before = await tasksOf(
        store,
        wish.after.flatMap((key) => rows.get(key) ?? []),
      );
      if (before === 'not-yet') return later('What comes before it is not a task yet.');
      const task = await taskFor(wish, entryOf(entries, wish.file), before);
      const address: TodoAddress = { file: wish.file, key: wish.key };
      return { kind: 'work', wanted: [{ wish: task, trigger: triggerOf(wish), address }] };
    },
  };
}

const later = (message: string): Reading => ({ kind: 'later', reason: { code: 'waits', message }, afterMs: 250 });

/** The tasks of the items that come before; those that were ticked or removed meanwhile need not be waited for. */
async function tasksOf(store: Store, rows: readonly TodoRow[]): Promise<readonly string[] | 'not-yet'> {
  const open = rows.filter(({ place, checked, revision }) => place !== null && !checked && revision > 0);
  const became = await whatBecameOf(store.read, todoSource, open.map(triggerOf));
  const ids: string[] = [];
  for (const row of open) {
    const { delivery, taskId } = became.get(triggerOf(row)) ?? {};
    if (delivery === 'received') return 'not-yet';
    if (taskId) ids.push(taskId);
  }
  return ids;
}

async function taskFor(wish: TodoWish, entry: TodoFiles | undefined, dependsOn: readonly string[]): Promise<Wish> {
  const { file, title, headings } = wish;
  const repository = wish.repository ?? entry?.repository ?? (await repositoryAround(file));
  const from = `From ${[basename(file), ...headings].join(' › ')}.`;
  return {
    title: title === '' ? `An item without words in ${basename(file)}` : title.slice(0, 500),
    body: [wish.body, from].filter((part) => part !== '').join('\n\n'),
    source: todoSource,
    requestedBy: `todo:${basename(file)}`,
    trust: 'owner',
    priority: wish.priority ?? entry?.priority ?? 'low',
    labels: wish.labels,
    // What a person wrote into a list is never taken for a command.
    engine: 'claude',
    externalRef: `${file}#${wish.key}`.slice(-500),
    dedupeKey: wish.unique ? meaningOf({ title, repository, details: wish.body }) : `todo:${wish.key}`,
    ...(repository === null ? {} : { repository }),
    ...(dependsOn.length === 0 ? {} : { dependsOn }),
  };
}
