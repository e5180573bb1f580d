import type { ReactNode } from 'react';
import { useListing } from '../data/listing.ts';
import { useNow } from '../data/use.ts';
import type { AuditView } from '../data/views.ts';
import { ago, fullTime } from '../text/time.ts';
import { Act } from './act.tsx';
import { ListingView } from './listing.tsx';

/** Who changed what, and who was refused. */
export function AuditLog(): ReactNode {
  const now = useNow(30_000);
  const listing = useListing<AuditView>('/audit');

  return (
    <section className="card" aria-label="Audit log">
      <h2>Audit log</h2>
      <p className="soft">
        Who changed what, and who was refused. <code>npx nightshift audit --all --json</code> exports it.
      </p>
      <ListingView listing={listing} className="list audit" empty={<p className="soft">Nobody has changed anything yet.</p>}>
        {(line) => (
          <li key={`${line.requestId} ${line.outcome}`} className="item">
            <div className="grow">
              <span className="code truncate">{`${line.action.split(' ')[0]} ${line.target}`}</span>
              <p className="step whole">
                {line.user ?? 'somebody unknown'} from {line.address} ·{' '}
                <time dateTime={line.at} title={fullTime(line.at)}>
                  {ago(line.at, now)}
                </time>
              </p>
            </div>
            {line.outcome !== 'done' && (
              <span className="badge bad">
                {line.outcome}
                {line.count > 1 && ` × ${line.count}`}
              </span>
            )}
          </li>
        )}
      </ListingView>
      <div className="row">
        <Act className="quiet small" onClick={listing.again}>
          Look again
        </Act>
      </div>
    </section>
  );
}
