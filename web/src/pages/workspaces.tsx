import { type ReactNode, useState } from 'react';
import { call } from '../data/api.ts';
import { useListing } from '../data/listing.ts';
import { useLive, useMay, useNow } from '../data/use.ts';
import type { WorkspaceView } from '../data/views.ts';
import { Act } from '../parts/act.tsx';
import { ListingView } from '../parts/listing.tsx';
import { Address, Empty } from '../parts/text.tsx';
import { toast } from '../parts/toast.tsx';
import { Link } from '../router.tsx';
import { ago } from '../text/time.ts';

/** The checkouts on the disks of the nodes. They go by themselves; who needs the room now need not wait for that. */
export function Workspaces(): ReactNode {
  const listing = useListing<WorkspaceView>('/workspaces');

  const remove = async (workspace: WorkspaceView): Promise<void> => {
    const answer = await call<undefined>('DELETE', `/workspaces/${workspace.id}`);
    if (!answer.ok) toast('bad', answer.refusal.message);
    else {
      toast('good', 'Its files are gone');
      await listing.again();
    }
  };

  return (
    <div className="page">
      <header className="page-head">
        <div>
          <h1>Workspaces</h1>
          <p className="soft">A checkout for each run on a repository. Its branch is kept when its files go.</p>
        </div>
      </header>
      <ListingView
        listing={listing}
        empty={
          <Empty title="No workspace is on the disk">
            <p>A task with a repository gets one when its run begins. It goes an hour after a success, and three days after a failure.</p>
          </Empty>
        }
      >
        {(workspace) => <Row key={workspace.id} workspace={workspace} remove={() => remove(workspace)} />}
      </ListingView>
    </div>
  );
}

const looks: Readonly<Record<WorkspaceView['status'], readonly [word: string, tone: string]>> = {
  active: ['In use', 'live'],
  completed: ['Done', 'good'],
  error: ['Kept for a look', 'bad'],
  cleaning: ['Being removed', 'calm'],
  removed: ['Removed', 'calm'],
};

function Row({ workspace, remove }: { readonly workspace: WorkspaceView; readonly remove: () => Promise<void> }): ReactNode {
  const now = useNow(30_000);
  const may = useMay('operator');
  const [busy, setBusy] = useState(false);
  const title = useLive((state) => state.tasks.get(workspace.taskId)?.title);
  const [word, tone] = looks[workspace.status];
  return (
    <li className="card item">
      <div className="grow">
        <Link to={`/runs/${workspace.runId}`} className="title">
          {title ?? workspace.branch}
        </Link>
        <p className="step whole">
          <Address text={workspace.repository} /> · {workspace.ref} · made {ago(workspace.createdAt, now)}
          {workspace.cleanupAt !== null && `, goes ${ago(workspace.cleanupAt, now)}`}
        </p>
      </div>
      <span className={`badge ${tone}`}>{word}</span>
      {may && workspace.status !== 'active' && (
        <div className="row">
          <Act
            className="small"
            disabled={busy}
            aria-label={`Remove the files of ${title ?? workspace.branch}`}
            onClick={async () => {
              setBusy(true);
              await remove();
              setBusy(false);
            }}
          >
            Remove
          </Act>
        </div>
      )}
    </li>
  );
}
