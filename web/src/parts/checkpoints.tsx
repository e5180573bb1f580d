import { type ReactNode, useEffect, useState } from 'react';
import { call, get } from '../data/api.ts';
import { useLive, useMay, useNow } from '../data/use.ts';
import type { CheckpointView, RunView } from '../data/views.ts';
import { ago, fullTime } from '../text/time.ts';
import { Confirm } from './confirm.tsx';
import { Empty } from './text.tsx';
import { toast } from './toast.tsx';

const kinds: Readonly<Record<CheckpointView['kind'], readonly [word: string, tone: string]>> = {
  green: ['Gates green', 'good'],
  calls: ['On the way', 'calm'],
  risky: ['Before a risky command', 'warn'],
  cut: ['Cut short', 'warn'],
  rewind: ['Before a rewind', 'calm'],
};

interface Rewound {
  readonly checkpoint: { readonly number: number };
  readonly before: { readonly number: number } | null;
}

/** The points that a run can be put back to, the newest first. `told` changes whenever the run tells of another. */
export function Checkpoints({ run, told }: { readonly run: RunView; readonly told: number }): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  const [items, setItems] = useState<readonly CheckpointView[]>();
  const [refused, setRefused] = useState<string>();
  const { id } = run;
  // biome-ignore lint/correctness/useExhaustiveDependencies: with another checkpoint it is another answer
  useEffect(() => {
    if (!live) return;
    let wanted = true;
    void get<{ items: readonly CheckpointView[] }>(`/runs/${id}/checkpoints`).then((answer) => {
      if (!wanted) return;
      if (answer.ok) setItems(answer.value.items);
      setRefused(answer.ok ? undefined : answer.refusal.message);
    });
    return () => {
      wanted = false;
    };
  }, [id, live, told]);

  const rewind = async ({ id: checkpoint, number }: CheckpointView): Promise<void> => {
    const answer = await call<Rewound>('POST', `/runs/${id}/rewind`, { checkpoint });
    if (!answer.ok) return toast('bad', answer.refusal.message);
    const { before } = answer.value;
    toast(
      'good',
      before === null
        ? `The files were as at checkpoint ${number} already`
        : `The files are as at checkpoint ${number}; what they were is checkpoint ${before.number}`,
    );
  };

  if (items === undefined) {
    return (
      <p className="soft" role="status">
        {refused ?? (live ? 'Loading…' : 'This list is not kept for reading offline.')}
      </p>
    );
  }
  if (items.length === 0) {
    return (
      <Empty title="There is no checkpoint">
        <p>
          While an agent works in a repository, its files and its place in the conversation are kept from time to time: when the gates are
          green, every few tool calls, and before a command that may destroy something. Checkpoints go with the workspace.
        </p>
      </Empty>
    );
  }
  return (
    <div className="section">
      <p className="soft">
        {run.status === 'running'
          ? 'Its files can be put back once it has ended, or was cancelled.'
          : 'Putting the files back keeps what they are now as another checkpoint, so it can be undone.'}
      </p>
      <ul className="list">
        {[...items].reverse().map((checkpoint) => (
          <CheckpointRow
            key={checkpoint.id}
            checkpoint={checkpoint}
            rewind={run.status === 'running' ? undefined : () => rewind(checkpoint)}
          />
        ))}
      </ul>
    </div>
  );
}

interface RowProps {
  readonly checkpoint: CheckpointView;
  /** Undefined while the run is at work among the files. */
  readonly rewind: (() => Promise<void>) | undefined;
}

function CheckpointRow({ checkpoint, rewind }: RowProps): ReactNode {
  const now = useNow(30_000);
  const may = useMay('operator');
  const { number, kind, note, gates, tooBig, keepsIgnored, at } = checkpoint;
  const [word, tone] = kinds[kind];
  const red = gates.filter(({ passed }) => !passed).map(({ gate }) => gate);
  return (
    <li className="card item">
      <div className="grow">
        <p className="title">Checkpoint {number}</p>
        <p className="step whole">
          <time dateTime={at} title={fullTime(at)}>
            {ago(at, now)}
          </time>
          {note !== '' && ` · ${note}`}
          {red.length > 0 && ` · red then: ${red.join(', ')}`}
          {tooBig.length > 0 && ` · left out for their size: ${tooBig.join(', ')}`}
          {!keepsIgnored && ' · without ignored files'}
        </p>
      </div>
      <span className={`badge ${tone}`}>{word}</span>
      {may && rewind && (
        <div className="row">
          <Confirm ask="Rewind" yes="Put the files back" no="Leave them" of={`checkpoint ${number}`} className="small" perform={rewind} />
        </div>
      )}
    </li>
  );
}
