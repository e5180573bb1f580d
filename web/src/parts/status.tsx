import type { ReactNode } from 'react';
import type { RunStatus, TaskStatus } from '../data/views.ts';
import { Icon, type IconName } from './icons.tsx';

interface Look {
  readonly word: string;
  readonly tone: 'live' | 'good' | 'bad' | 'warn' | 'calm';
  readonly icon: IconName | 'dot';
}

const looks: Readonly<Record<TaskStatus | RunStatus, Look>> = {
  queued: { word: 'Queued', tone: 'calm', icon: 'clock' },
  blocked: { word: 'Blocked', tone: 'calm', icon: 'link' },
  delayed: { word: 'Delayed', tone: 'calm', icon: 'clock' },
  'awaiting-approval': { word: 'Needs approval', tone: 'warn', icon: 'hand' },
  running: { word: 'Running', tone: 'live', icon: 'dot' },
  succeeded: { word: 'Succeeded', tone: 'good', icon: 'check' },
  failed: { word: 'Failed', tone: 'bad', icon: 'cross' },
  cancelled: { word: 'Cancelled', tone: 'calm', icon: 'dash' },
  'over-budget': { word: 'Over budget', tone: 'warn', icon: 'budget' },
  escalated: { word: 'Needs a person', tone: 'warn', icon: 'hand' },
  lost: { word: 'Lost', tone: 'bad', icon: 'cross' },
  released: { word: 'Given back', tone: 'calm', icon: 'retry' },
};

export const wordOf = (status: TaskStatus | RunStatus): string => looks[status].word;

/** The sign alone, with its word for those who do not see it. */
export function StatusMark({ status }: { readonly status: TaskStatus | RunStatus }): ReactNode {
  const { word, tone, icon } = looks[status];
  return (
    <span className={`mark ${tone}`} role="img" aria-label={word} title={word}>
      {icon === 'dot' ? <span className="pulse" /> : <Icon name={icon} size={14} />}
    </span>
  );
}

/** The sign and the word. */
export function StatusBadge({
  status,
  calledOff = false,
}: {
  readonly status: TaskStatus | RunStatus;
  readonly calledOff?: boolean;
}): ReactNode {
  const { word, tone, icon } = looks[status];
  return (
    <span className={`badge ${tone}`}>
      {icon === 'dot' ? <span className="pulse" /> : <Icon name={icon} size={14} />}
      {calledOff ? 'Stopping' : word}
    </span>
  );
}
