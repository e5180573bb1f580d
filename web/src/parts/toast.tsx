import { type ReactNode, useSyncExternalStore } from 'react';
import { Icon } from './icons.tsx';

interface Toast {
  readonly id: number;
  readonly tone: 'good' | 'bad';
  readonly text: string;
}

let toasts: readonly Toast[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function put(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

const shownMs = { good: 4_000, bad: 10_000 };

/** Says how something went, for a while. */
export function toast(tone: Toast['tone'], text: string): void {
  const id = nextId++;
  put([...toasts.slice(-3), { id, tone, text }]);
  setTimeout(() => dismiss(id), shownMs[tone]);
}

const dismiss = (id: number): void => put(toasts.filter((each) => each.id !== id));

export function Toasts(): ReactNode {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <section className="toasts" aria-live="polite" aria-label="Messages">
      {shown.map(({ id, tone, text }) => (
        <div key={id} className={`toast ${tone}`}>
          <span>{text}</span>
          <button type="button" className="ghost small" aria-label="Dismiss" onClick={() => dismiss(id)}>
            <Icon name="close" size={14} />
          </button>
        </div>
      ))}
    </section>
  );
}
