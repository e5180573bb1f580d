import type { ReactNode } from 'react';
import { useChosenInSight } from './in-sight.ts';

interface Props<T extends string> {
  readonly label: string;
  readonly tabs: readonly (readonly [tab: T, name: ReactNode])[];
  readonly chosen: T;
  readonly choose: (tab: T) => void;
  readonly children: ReactNode;
}

/** Several views of one thing, one at a time. Arrows go from one to the next. */
export function Tabs<T extends string>({ label, tabs, chosen, choose, children }: Props<T>): ReactNode {
  const row = useChosenInSight<HTMLDivElement>(chosen);
  return (
    <>
      <div ref={row} className="tabs" role="tablist" aria-label={label}>
        {tabs.map(([tab, name], index) => (
          <button
            key={tab}
            type="button"
            role="tab"
            id={`tab-${tab}`}
            aria-controls={`panel-${tab}`}
            aria-selected={tab === chosen}
            tabIndex={tab === chosen ? 0 : -1}
            onClick={() => choose(tab)}
            onKeyDown={(event) => {
              const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
              const next = tabs[(index + step + tabs.length) % tabs.length]?.[0];
              if (step === 0 || next === undefined) return;
              choose(next);
              document.getElementById(`tab-${next}`)?.focus();
            }}
          >
            {name}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`panel-${chosen}`} aria-labelledby={`tab-${chosen}`} tabIndex={-1}>
        {children}
      </div>
    </>
  );
}
