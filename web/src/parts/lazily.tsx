import { type ComponentType, type ReactNode, useEffect, useState } from 'react';

/** A part of a page that is fetched when it is first shown, so that the first load stays small. */
export interface LazyPart<P> {
  readonly fetch: () => Promise<ComponentType<P>>;
  /** Once it is here. */
  known: ComponentType<P> | undefined;
}

export const lazyPart = <P,>(fetch: () => Promise<ComponentType<P>>): LazyPart<P> => ({ fetch, known: undefined });

/** It may not come: the page can be older than the server, or without one. */
export function Lazily<P extends object>({ part, props }: { readonly part: LazyPart<P>; readonly props: P }): ReactNode {
  const [Known, setKnown] = useState<ComponentType<P> | undefined>(() => part.known);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let wanted = true;
    part.fetch().then(
      (known) => {
        part.known = known;
        if (wanted) setKnown(() => known);
      },
      () => wanted && setFailed(true),
    );
    return () => {
      wanted = false;
    };
  }, [part]);
  if (Known !== undefined) return <Known {...props} />;
  if (!failed) {
    return (
      <p className="soft pad" role="status">
        Loading…
      </p>
    );
  }
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
