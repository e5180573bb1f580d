import { type ReactNode, useEffect, useState } from 'react';
import { get } from '../data/api.ts';
import { useLive, useNow } from '../data/use.ts';
import type { AuditView, Page } from '../data/views.ts';
import { ago, fullTime } from '../text/time.ts';

/** Who changed what, and who was refused. */
export function AuditLog(): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  const now = useNow(30_000);
  const [page, setPage] = useState<Page<AuditView>>();
  const [refused, setRefused] = useState<string>();

  const load = async (cursor: string | null, before: readonly AuditView[]): Promise<void> => {
    const answer = await get<Page<AuditView>>(`/audit?limit=20${cursor === null ? '' : `&cursor=${cursor}`}`);
    if (answer.ok) setPage({ items: [...before, ...answer.value.items], nextCursor: answer.value.nextCursor });
    setRefused(answer.ok ? undefined : answer.refusal.message);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: again when the connection is back, and only then
  useEffect(() => {
    if (live) void load(null, []);
  }, [live]);

  return (
    <section className="card" aria-label="Audit log">
      <h2>Audit log</h2>
      <p className="soft">
        Who changed what, and who was refused. <code>npx nightshift audit --all --json</code> exports it.
      </p>
      {page === undefined ? (
        <p className="soft" role="status">
          {refused ?? (live ? 'Loading…' : 'This list is not kept for reading offline.')}
        </p>
      ) : (
        <>
          <ul className="list audit">
            {page.items.map((line) => (
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
            ))}
          </ul>
          <div className="row">
            <button type="button" className="quiet small" onClick={() => load(null, [])}>
              Look again
            </button>
            {page.nextCursor !== null && (
              <button type="button" className="small" onClick={() => load(page.nextCursor, page.items)}>
                More
              </button>
            )}
          </div>
        </>
      )}
    </section>
  );
}
