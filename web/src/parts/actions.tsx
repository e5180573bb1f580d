import { type ReactNode, useState } from 'react';
import { act } from '../data/live.ts';
import { useAway, useMay } from '../data/use.ts';
import { awaitsApproval, canCancel, canRetry, isWaiting, type Priority, priorities, type TaskView } from '../data/views.ts';
import { Act, whyNot } from './act.tsx';
import { Icon } from './icons.tsx';
import { toast } from './toast.tsx';

const said: Readonly<Record<string, string>> = { retry: 'Back in line', approve: 'Approved', deny: 'Denied' };

/** What a person may do with a task as it stands. */
export function TaskActions({ task, compact = false }: { readonly task: TaskView; readonly compact?: boolean }): ReactNode {
  const [busy, setBusy] = useState(false);
  const may = useMay('operator');
  const perform = async (what: 'cancel' | 'retry' | 'approve' | 'deny'): Promise<void> => {
    setBusy(true);
    const answer = await act('POST', `/tasks/${task.id}/${what}`);
    setBusy(false);
    if (!answer.ok) toast('bad', answer.refusal.message);
    else toast('good', said[what] ?? (answer.value.status === 'cancelled' ? 'Cancelled' : 'Stopping it'));
  };
  if (!may) return null;
  const size = compact ? 'small' : '';
  if (awaitsApproval(task)) {
    return (
      <>
        <Act className={`${size} primary`} disabled={busy} onClick={() => perform('approve')} aria-label={`Approve ${task.title}`}>
          <Icon name="check" size={16} /> Approve
        </Act>
        <Act className={size} disabled={busy} onClick={() => perform('deny')} aria-label={`Deny ${task.title}`}>
          Deny
        </Act>
      </>
    );
  }
  return (
    <>
      {canRetry(task) && (
        <Act className={size} disabled={busy} onClick={() => perform('retry')}>
          <Icon name="retry" size={16} /> {task.status === 'delayed' ? 'Run now' : 'Retry'}
        </Act>
      )}
      {canCancel(task) && (
        <Act className={`${size} quiet`} disabled={busy} onClick={() => perform('cancel')} aria-label={`Cancel ${task.title}`}>
          Cancel
        </Act>
      )}
    </>
  );
}

export const priorityNames: Readonly<Record<Priority, string>> = { high: 'High', medium: 'Medium', low: 'Low' };

/** Its place in line, for as long as it stands there. */
export function PriorityChoice({ task }: { readonly task: TaskView }): ReactNode {
  const may = useMay('operator');
  const away = useAway();
  const change = async (priority: Priority): Promise<void> => {
    const answer = await act('PATCH', `/tasks/${task.id}`, { priority });
    if (!answer.ok) toast('bad', answer.refusal.message);
  };
  if (!may || !isWaiting(task)) return <>{priorityNames[task.priority]}</>;
  return (
    <select
      aria-label="Priority"
      disabled={away}
      title={away ? whyNot : undefined}
      value={task.priority}
      onChange={(event) => change(event.target.value as Priority)}
    >
      {priorities.map((each) => (
        <option key={each} value={each}>
          {priorityNames[each]}
        </option>
      ))}
    </select>
  );
}
