import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { Item, ToolItem } from '../data/transcript.ts';
import { clockTime, duration, fullTime } from '../text/time.ts';
import { tellingPart, withinWorkspace } from '../text/tool.ts';
import { Icon } from './icons.tsx';
import { Part, Scrolling } from './scrolling.tsx';
import { Prose } from './text.tsx';

/** So near to the end one still reads along. */
const nearEndPx = 160;

/** Everything an agent said and did. Only what is on the screen is in the page, so that 20,000 items scroll as 20 do. */
export function TranscriptView({ items, running }: { readonly items: readonly Item[]; readonly running: boolean }): ReactNode {
  const list = useRef<HTMLOListElement>(null);
  const [top, setTop] = useState(0);
  /** What is unfolded, kept here because rows come and go. */
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set());
  useLayoutEffect(() => setTop(list.current?.offsetTop ?? 0), []);
  const virtual = useWindowVirtualizer({
    count: items.length,
    estimateSize: (index) => estimateOf(items[index]),
    overscan: 10,
    scrollMargin: top,
    getItemKey: (index) => items[index]?.id ?? index,
  });

  const [reading, setReading] = useState(running);
  useEffect(() => {
    // Of what has ended no end is followed, and where that is takes a layout to find out.
    if (!running) return;
    const look = (): void => setReading(document.documentElement.scrollHeight - innerHeight - scrollY < nearEndPx);
    addEventListener('scroll', look, { passive: true });
    return () => removeEventListener('scroll', look);
  }, [running]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what came in is what it follows
  useEffect(() => {
    if (running && reading) scrollTo({ top: document.documentElement.scrollHeight });
  }, [items, running, reading]);

  const toggle = (id: string): void =>
    setUnfolded((before) => {
      const after = new Set(before);
      if (!after.delete(id)) after.add(id);
      return after;
    });

  return (
    <>
      <ol ref={list} className="transcript" style={{ height: virtual.getTotalSize() }} aria-label="Transcript">
        {virtual.getVirtualItems().map((row) => {
          const item = items[row.index];
          return (
            item && (
              <li
                key={row.key}
                data-index={row.index}
                ref={virtual.measureElement}
                aria-setsize={items.length}
                aria-posinset={row.index + 1}
                style={{ transform: `translateY(${row.start - top}px)` }}
              >
                <ItemView item={item} open={unfolded.has(item.id)} toggle={() => toggle(item.id)} />
              </li>
            )
          );
        })}
      </ol>
      {running && !reading && (
        <button type="button" className="follow" onClick={() => scrollTo({ top: document.documentElement.scrollHeight })}>
          Follow
        </button>
      )}
    </>
  );
}

function estimateOf(item: Item | undefined): number {
  if (item?.kind === 'text') return 40 + 22 * Math.ceil(item.text.length / 90);
  if (item?.kind === 'output') return 40 + 20 * item.text.split('\n').length;
  return 44;
}

function ItemView({ item, open, toggle }: { readonly item: Item; readonly open: boolean; readonly toggle: () => void }): ReactNode {
  switch (item.kind) {
    case 'text':
      return (
        <div className={item.nested ? 'said nested' : 'said'}>
          <Prose text={item.text} />
          <At at={item.at} />
        </div>
      );
    case 'thinking':
      return (
        <div className={item.nested ? 'fold thought nested' : 'fold thought'}>
          <button type="button" aria-expanded={open} onClick={toggle}>
            <Icon name="think" size={16} />
            <span className="grow truncate">{open ? 'Thought' : item.text.replace(/\s+/g, ' ').slice(0, 200)}</span>
            <At at={item.at} />
          </button>
          {open && <Prose text={item.text} />}
        </div>
      );
    case 'tool':
      return <Tool item={item} open={open} toggle={toggle} />;
    case 'output':
      return (
        <Scrolling className={`output ${item.stream}`} label={item.stream === 'stderr' ? 'Errors that it wrote' : 'What it wrote'}>
          {item.text}
        </Scrolling>
      );
    case 'note':
      return (
        <p className={`note ${item.tone}`}>
          <span>{item.text}</span>
          {item.detail !== undefined && <span className="note-detail">{item.detail}</span>}
          <At at={item.at} />
        </p>
      );
  }
}

const At = ({ at }: { readonly at: string }): ReactNode => (
  <time className="at" dateTime={at} title={fullTime(at)}>
    {clockTime(at)}
  </time>
);

function Tool({ item, open, toggle }: { readonly item: ToolItem; readonly open: boolean; readonly toggle: () => void }): ReactNode {
  const { tool, input, result, nested } = item;
  const state = result === undefined ? 'open' : result.failed ? 'bad' : 'done';
  return (
    <div className={`fold tool ${state}${nested ? ' nested' : ''}`}>
      <button type="button" aria-expanded={open} onClick={toggle}>
        <Icon name="tool" size={16} />
        <span className="tool-name">{tool}</span>
        <span className="grow truncate code">{tellingPart(input)}</span>
        {result === undefined ? (
          <span className="pulse" role="img" aria-label="Under way" />
        ) : (
          result.failed && <span className="badge bad">Failed</span>
        )}
        <span className="soft tabular">{result && duration(result.durationMs)}</span>
      </button>
      {open && (
        <div className="tool-body">
          {input !== undefined && <Part name="Input" text={withinWorkspace(shown(input))} />}
          {result && (
            <Part name={result.failed ? 'Failure' : 'Output'} text={result.output === '' ? '(nothing)' : withinWorkspace(result.output)} />
          )}
          {result && result.outputSize > result.output.length && (
            <p className="soft">The whole output had {result.outputSize.toLocaleString('en')} characters.</p>
          )}
        </div>
      )}
    </div>
  );
}

/** One text alone is read as it is; anything more as JSON, with the line breaks of its texts kept. */
function shown(input: unknown): string {
  if (typeof input === 'string') return input;
  const fields = typeof input === 'object' && input !== null ? Object.entries(input) : [];
  const [only, ...others] = fields;
  if (only && others.length === 0 && typeof only[1] === 'string') return only[1];
  return fields
    .map(
      ([name, value]) =>
        `${name}: ${typeof value === 'string' ? (value.includes('\n') ? `\n${value}` : value) : JSON.stringify(value, null, 2)}`,
    )
    .join('\n');
}
