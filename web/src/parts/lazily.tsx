import { type ComponentType, type ReactNode, useEffect, useState } from 'react';
import { reloadOnce } from '../reload.ts';

/** A part of a page that is fetched when it is first shown, so that the first load stays small. */
export interface LazyPart<P> {
  readonly fetch: () => Promise<ComponentType<P>>;
  /** Begins to fetch it; whether it comes is told where it is shown. */
  readonly ahead: () => void;
  /** Once it is here. */
  readonly known: () => ComponentType<P> | undefined;
}

export function lazyPart<P>(load: () => Promise<ComponentType<P>>): LazyPart<P> {
  let known: ComponentType<P> | undefined;
  const fetch = async (): Promise<ComponentType<P>> => {
    known ??= await load();
    return known;
  };
  return { fetch, ahead: () => void fetch().catch(() => undefined), known: () => known };
}

interface Props<P> {
  readonly part: LazyPart<P>;
  readonly props: P;
  /** What stands there until it has come. */
  readonly meanwhile?: ReactNode;
}

const loading = (
  <p className="soft pad" role="status">
    Loading…
  </p>
);

/** It may not come: the page can be older than the server, which a reload mends, or without one. */
export function Lazily<P extends object>({ part, props, meanwhile = loading }: Props<P>): ReactNode {
  // Pages take turns in one place: what is kept is of which part it is true.
  const [, setArrived] = useState<unknown>();
  const [failed, setFailed] = useState<unknown>();
  useEffect(() => {
    let wanted = true;
    part.fetch().then(
      () => wanted && setArrived(part),
      async () => {
        if (wanted && !(await reloadOnce()) && wanted) setFailed(part);
      },
    );
    return () => {
      wanted = false;
    };
  }, [part]);
  const Known = part.known();
  if (Known !== undefined) return <Known {...props} />;
  if (failed !== part) return meanwhile;
  return (
    <div className="empty" role="alert">
      <p className="empty-title">This part of the page could not be fetched</p>
      <p>There is no connection, or the server has been updated since the page was opened.</p>
      <button type="button" onClick={() => location.reload()}>
        Reload the page
      </button>
    </div>
  );
}
