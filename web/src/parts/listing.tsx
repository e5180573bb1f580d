import type { ReactNode } from 'react';
import type { Listing } from '../data/listing.ts';
import { useLive } from '../data/use.ts';
import { Act } from './act.tsx';

interface Props<T> {
  readonly listing: Listing<T>;
  readonly empty: ReactNode;
  readonly className?: string;
  readonly children: (item: T) => ReactNode;
}

/** What there is of a list: its items and the way to more of them, or why there is none. */
export function ListingView<T>({ listing, empty, className = 'list', children }: Props<T>): ReactNode {
  const live = useLive((state) => state.connection.kind === 'live');
  const { items, refused, hasMore, more } = listing;
  if (items === undefined) {
    return (
      <p className="soft" role="status">
        {refused ?? (live ? 'Loading…' : 'This list is not kept for reading offline.')}
      </p>
    );
  }
  return (
    <>
      {refused !== undefined && (
        <p className="refused" role="alert">
          {refused}
        </p>
      )}
      {items.length === 0 ? empty : <ul className={className}>{items.map(children)}</ul>}
      {hasMore && (
        <div className="row">
          <Act onClick={more}>More</Act>
        </div>
      )}
    </>
  );
}
