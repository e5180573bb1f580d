import { type FormEvent, type ReactNode, useEffect, useId, useMemo, useState } from 'react';
import { get, type Refusal } from '../data/api.ts';
import { act } from '../data/live.ts';
import { useLive } from '../data/use.ts';
import { closedStatuses, priorities, tiers } from '../data/views.ts';
import { go } from '../router.tsx';
import { priorityNames } from './actions.tsx';
import { Field, FormDialog } from './form.tsx';
import { Icon } from './icons.tsx';
import { toast } from './toast.tsx';

/** A wish for work, with everything that one may have. Seldom needed things are folded away. */
export function NewTask({ onClose }: { readonly onClose: () => void }): ReactNode {
  const server = useLive((state) => state.server);
  const [refusal, setRefusal] = useState<Refusal>();
  const [busy, setBusy] = useState(false);
  const [dependsOn, setDependsOn] = useState<readonly string[]>([]);
  const [engine, setEngine] = useState('');
  const [profiles, setProfiles] = useState<readonly string[]>([]);
  const effective = engine || (server?.defaultEngine ?? '');

  useEffect(() => {
    // Without an answer there is the default, which every server has.
    void get<{ items: readonly { name: string }[] }>('/profiles').then((answer) => {
      if (answer.ok) setProfiles(answer.value.items.map(({ name }) => name));
    });
  }, []);

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    setBusy(true);
    const answer = await act('POST', '/tasks', wishOf(new FormData(event.currentTarget), dependsOn));
    setBusy(false);
    if (!answer.ok) return setRefusal(answer.refusal);
    toast('good', 'The task is on disk');
    onClose();
    go(`/tasks/${answer.value.id}`);
  }

  const refused = refusal?.fields ?? {};
  return (
    <FormDialog title="New task" submit="Create the task" busy={busy} refusal={refusal} onSubmit={submit} onClose={onClose}>
      <Field name="title" label="Title" refused={refused}>
        {(props) => <input {...props} required maxLength={500} placeholder="Fix the failing test" autoComplete="off" />}
      </Field>
      <Field
        name="body"
        label={effective === 'command' ? 'Command' : 'What to do'}
        hint={
          effective === 'command'
            ? 'A command line or a JSON array of arguments; no shell.'
            : 'As you would tell a colleague. The title alone may do.'
        }
        refused={refused}
      >
        {(props) => <textarea {...props} rows={4} className={effective === 'command' ? 'code' : ''} />}
      </Field>
      <Field
        name="repository"
        label="Repository"
        hint="An https, ssh or file address, or an absolute path on the server."
        refused={refused}
      >
        {(props) => <input {...props} placeholder="https://github.com/you/project" autoComplete="off" spellCheck={false} />}
      </Field>
      <div className="pair">
        <Field name="priority" label="Priority" refused={refused}>
          {(props) => (
            <select {...props} defaultValue="medium">
              {priorities.map((each) => (
                <option key={each} value={each}>
                  {priorityNames[each]}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field name="engine" label="Engine" refused={refused}>
          {(props) => (
            <select {...props} value={engine} onChange={(event) => setEngine(event.target.value)}>
              <option value="">{server?.defaultEngine ? `Default (${server.defaultEngine})` : 'None: waits for a person'}</option>
              {server?.engines.map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <details>
        <summary>More</summary>
        <div className="more-fields">
          <Field name="verify" label="Check" hint="A command that must exit with 0, or the run does not count." refused={refused}>
            {(props) => <input {...props} className="code" placeholder="npm test" autoComplete="off" spellCheck={false} />}
          </Field>
          <Field
            name="doneWhen"
            label="Done when"
            hint="In words. The agent is told, and a reviewer judges the work by it once all gates are green."
            refused={refused}
          >
            {(props) => <textarea {...props} rows={2} maxLength={4_000} placeholder="The page loads without a warning in the console." />}
          </Field>
          <div className="pair">
            <Field name="profile" label="Profile" refused={refused}>
              {(props) => (
                <select {...props} defaultValue="">
                  <option value="">The default</option>
                  {profiles.map((each) => (
                    <option key={each} value={each}>
                      {each}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <Field name="tier" label="Model" refused={refused}>
              {(props) => (
                <select {...props} defaultValue="">
                  <option value="">As the profile says</option>
                  {tiers.map((each) => (
                    <option key={each} value={each}>
                      {tierNames[each]}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          </div>
          <Dependencies chosen={dependsOn} choose={setDependsOn} refused={refused['dependsOn']} />
          <div className="pair">
            <Field name="ref" label="Branch, tag or commit" refused={refused}>
              {(props) => <input {...props} placeholder="main" autoComplete="off" spellCheck={false} />}
            </Field>
            <Field name="notBefore" label="Not before" refused={refused}>
              {(props) => <input {...props} type="datetime-local" />}
            </Field>
          </div>
          <div className="pair">
            <Field name="budgetUsd" label="Budget in US dollars" refused={refused}>
              {(props) => <input {...props} type="number" min="0" step="any" inputMode="decimal" />}
            </Field>
            <Field name="dedupeKey" label="Key against duplicates" refused={refused}>
              {(props) => <input {...props} autoComplete="off" spellCheck={false} />}
            </Field>
          </div>
          <Field name="labels" label="Labels" hint="Separated by commas." refused={refused}>
            {(props) => <input {...props} autoComplete="off" />}
          </Field>
          <label className="choice">
            <input type="checkbox" name="needsApproval" /> Wait until somebody approves it
          </label>
        </div>
      </details>
    </FormDialog>
  );
}

const tierNames = { light: 'Light: reading, status', standard: 'Standard: code', deep: 'Deep: hard problems' } as const;

/** Tasks that must succeed first, out of those that are still open. */
function Dependencies({
  chosen,
  choose,
  refused,
}: {
  readonly chosen: readonly string[];
  readonly choose: (ids: readonly string[]) => void;
  readonly refused: string | undefined;
}): ReactNode {
  const tasks = useLive((state) => state.tasks);
  const id = useId();
  const candidates = useMemo(
    () =>
      [...tasks.values()]
        .filter((task) => !closedStatuses.includes(task.status))
        .sort((a, b) => (a.id < b.id ? 1 : -1))
        .slice(0, 200),
    [tasks],
  );
  return (
    <div className="field">
      <label htmlFor={id}>Waits for</label>
      <select id={id} value="" aria-describedby={`${id}-hint`} onChange={(event) => choose([...new Set([...chosen, event.target.value])])}>
        <option value="">{candidates.length === 0 ? 'No task is open' : 'Choose a task…'}</option>
        {candidates
          .filter((task) => !chosen.includes(task.id))
          .map((task) => (
            <option key={task.id} value={task.id}>
              {task.title.slice(0, 90)}
            </option>
          ))}
      </select>
      <p id={`${id}-hint`} className={refused === undefined ? 'hint-line' : 'refused'}>
        {refused ?? 'It begins when these have succeeded.'}
      </p>
      {chosen.length > 0 && (
        <ul className="chips">
          {chosen.map((each) => (
            <li key={each} className="chip">
              <span className="truncate">{tasks.get(each)?.title ?? each}</span>
              <button
                type="button"
                className="ghost tiny"
                aria-label={`Do not wait for ${tasks.get(each)?.title ?? each}`}
                onClick={() => choose(chosen.filter((one) => one !== each))}
              >
                <Icon name="close" size={12} />
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** What was filled in, in the API's words. */
function wishOf(form: FormData, dependsOn: readonly string[]): Record<string, unknown> {
  const wish: Record<string, unknown> = {};
  for (const name of ['title', 'body', 'repository', 'priority', 'engine', 'verify', 'doneWhen', 'ref', 'dedupeKey', 'profile', 'tier']) {
    const text = String(form.get(name) ?? '').trim();
    if (text !== '') wish[name] = text;
  }
  const labels = String(form.get('labels') ?? '')
    .split(',')
    .map((each) => each.trim())
    .filter(Boolean);
  if (labels.length > 0) wish['labels'] = labels;
  if (form.has('needsApproval')) wish['needsApproval'] = true;
  const notBefore = String(form.get('notBefore') ?? '');
  if (notBefore !== '') wish['notBefore'] = new Date(notBefore).toISOString();
  const budget = String(form.get('budgetUsd') ?? '');
  if (budget !== '') wish['budgetUsd'] = Number(budget);
  if (dependsOn.length > 0) wish['dependsOn'] = dependsOn;
  return wish;
}
