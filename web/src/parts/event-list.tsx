import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useLayoutEffect, useRef, useState } from 'react';
import { noteOf } from '../data/transcript.ts';
import type { EventView } from '../data/views.ts';
import { clockTime } from '../text/time.ts';

/** The journal of a run as it is. */
export function EventList({ events }: { readonly events: readonly EventView[] }): ReactNode {
  const list = useRef<HTMLOListElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => setTop(list.current?.offsetTop ?? 0), []);
  const virtual = useWindowVirtualizer({ count: events.length, estimateSize: () => 32, overscan: 20, scrollMargin: top });
  return (
    <ol ref={list} className="events" style={{ height: virtual.getTotalSize() }} aria-label="Events">
      {virtual.getVirtualItems().map((row) => {
        const event = events[row.index];
        return (
          event && (
            <li
              key={event.id}
              aria-setsize={events.length}
              aria-posinset={row.index + 1}
              style={{ transform: `translateY(${row.start - top}px)`, height: row.size }}
            >
              <time dateTime={event.at}>{clockTime(event.at)}</time>
              <span className="event-type">{event.type}</span>
              <Told event={event} />
            </li>
          )
        );
      })}
    </ol>
  );
}

/** In words where there are some, else as it is. */
function Told({ event }: { readonly event: EventView }): ReactNode {
  const data = JSON.stringify(event.data).slice(0, 400);
  const note = noteOf(event);
  return note ? (
    <span className="truncate told" title={data}>
      {note.text}
      {note.detail !== undefined && <span className="soft"> {note.detail}</span>}
    </span>
  ) : (
    <span className="truncate code" title={event.id}>
      {data}
    </span>
  );
}
