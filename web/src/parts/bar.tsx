import type { ReactNode } from 'react';

/** How much of something is used, beside the figures that say so: it says nothing of its own to who cannot see it. */
export function Bar({ share, tone = '' }: { readonly share: number; readonly tone?: 'warn' | 'bad' | '' }): ReactNode {
  return (
    <svg className={`bar ${tone}`} viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <rect width={Math.min(1, share) * 100} height="1" />
    </svg>
  );
}
