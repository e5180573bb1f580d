import { type FormEvent, type ReactNode, useId, useState } from 'react';
import { call } from '../data/api.ts';
import { addTasks } from '../data/live.ts';
import { useMay } from '../data/use.ts';
import { awaitsDecision, type ResolvedView, type TaskView } from '../data/views.ts';
import { Act } from './act.tsx';
import { CommandLine } from './text.tsx';
import { toast } from './toast.tsx';

const choices = {
  retry: { name: 'Try again', does: 'It is tried again from its beginning, and the agent is told your note.', done: 'Back in line' },
  'raise-budget': {
    name: 'Raise the budget',
    does: 'The same, and it may cost more from now on.',
    done: 'Back in line, with another budget',
  },
  'take-over': {
    name: 'Take over',
    does: 'The task ends here. What was done so far stays for you, and you are told where it is.',
    done: 'It is yours',
  },
  'give-up': { name: 'Give up', does: 'The task ends here, and its work goes in time.', done: 'Given up' },
} as const;
type Choice = keyof typeof choices;

export type Work = NonNullable<ResolvedView['work']>;

interface Props {
  readonly task: TaskView;
  readonly takenOver: (work: Work) => void;
}

/** How a task goes on that was escalated or went over its budget: it is for a person to say. */
export function Decide({ task, takenOver }: Props): ReactNode {
  const may = useMay('operator');
  const [choice, setChoice] = useState<Choice>(task.status === 'over-budget' ? 'raise-budget' : 'retry');
  const [note, setNote] = useState('');
  const [budget, setBudget] = useState(task.budgetUsd === null ? '' : String(task.budgetUsd * 2));
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<string>();
  const id = useId();
  if (!may || !awaitsDecision(task)) return null;

  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    const answer = await call<ResolvedView>('POST', `/tasks/${task.id}/resolve`, {
      choice,
      ...(note.trim() === '' ? {} : { note: note.trim() }),
      ...(choice === 'raise-budget' ? { budgetUsd: Number(budget) } : {}),
    });
    setBusy(false);
    setRefused(answer.ok ? undefined : answer.refusal.message);
    if (!answer.ok) return;
    toast('good', choices[choice].done);
    if (answer.value.work) takenOver(answer.value.work);
    addTasks([answer.value.task]);
  };

  return (
    <form className="decide" onSubmit={submit} aria-label={`How ${task.title} goes on`}>
      <fieldset>
        <legend>How does it go on?</legend>
        <div className="choices">
          {(Object.keys(choices) as Choice[]).map((each) => (
            <label key={each} className="choice">
              <input type="radio" name={`${id}-choice`} checked={choice === each} onChange={() => setChoice(each)} />
              {choices[each].name}
            </label>
          ))}
        </div>
      </fieldset>
      <p className="soft" id={`${id}-does`}>
        {choices[choice].does}
      </p>
      {choice === 'raise-budget' && (
        <div className="field">
          <label htmlFor={`${id}-budget`}>What all its attempts together may cost, in US dollars</label>
          <input
            id={`${id}-budget`}
            className="amount"
            type="number"
            min="0"
            step="any"
            inputMode="decimal"
            required
            value={budget}
            onChange={(event) => setBudget(event.target.value)}
          />
        </div>
      )}
      <div className="field">
        <label htmlFor={`${id}-note`}>
          {choice === 'take-over' || choice === 'give-up' ? 'Why, for the record' : 'What the agent should know'}
        </label>
        <textarea id={`${id}-note`} rows={2} maxLength={4_000} value={note} onChange={(event) => setNote(event.target.value)} />
      </div>
      <p className="refused" role="alert">
        {refused}
      </p>
      <div className="row">
        <Act type="submit" className="primary" disabled={busy}>
          {choices[choice].name}
        </Act>
      </div>
    </form>
  );
}

/** Where the work is that a person has taken over. */
export function TakenOver({ title, work }: { readonly title: string; readonly work: Work }): ReactNode {
  return (
    <section className="card result" aria-label={`Taken over: ${title}`}>
      <h2>{title} is yours</h2>
      {work.summary !== null && <p>{work.summary}</p>}
      {work.fetchCommand !== null && <CommandLine command={work.fetchCommand} />}
      {work.fetchCommand === null && work.branch !== null && (
        <p>
          The work is on branch <span className="code">{work.branch}</span>.
        </p>
      )}
      {work.workspace !== null && (
        <p>
          Its files are in <span className="code">{work.workspace}/tree</span> on {work.nodeId}.
        </p>
      )}
    </section>
  );
}
