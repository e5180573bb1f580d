import type { ReactNode } from 'react';

const paths = {
  now: 'M12 3v3m0 12v3M3 12h3m12 0h3M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z',
  tasks: 'M9 6h11M9 12h11M9 18h11M4 6h.01M4 12h.01M4 18h.01',
  settings: 'M4 7h10M18 7h2M4 17h4M12 17h8M16 4.5v5M10 14.5v5',
  sources: 'M4 13.5h4.5l1.5 2.5h4l1.5-2.5H20M4 13.5V18a1.5 1.5 0 0 0 1.5 1.5h13A1.5 1.5 0 0 0 20 18v-4.5L17 5H7zM12 6.5v5m-2-2 2 2 2-2',
  note: 'M6 3.5h12v17l-6-4-6 4zM9.5 8h5M9.5 11.5h5',
  trend: 'M4 19.5h16M4 15l5-5 4 4 7-8m0 0h-4.500m4.500 0v4.500',
  shield: 'M12 3.5l7.500 2.500v6c0 4.300-3.100 7.200-7.500 8.500-4.400-1.300-7.500-4.200-7.500-8.500V6zM9 12l2.200 2.200L15.500 10',
  more: 'M4 7h16M4 12h16M4 17h16',
  plus: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6 6 18',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  cross: 'M7 7l10 10M17 7 7 17',
  dash: 'M7 12h10',
  clock: 'M12 7.5V12l3 2M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16Z',
  link: 'M9.5 14.5l5-5M8 12l-2 2a3.5 3.5 0 0 0 5 5l2-2m-2-10 2-2a3.5 3.5 0 0 1 5 5l-2 2',
  hand: 'M12 8v5m0 3.5h.01M10.4 4.6 3.2 17a1.9 1.9 0 0 0 1.6 2.9h14.4a1.9 1.9 0 0 0 1.6-2.9L13.6 4.6a1.9 1.9 0 0 0-3.2 0Z',
  retry: 'M4.5 12a7.5 7.5 0 1 0 2.4-5.5L4.5 8.7M4.5 4v4.7h4.7',
  search: 'M11 4.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm4.8 11.3L20 20',
  chevron: 'M9 6l6 6-6 6',
  back: 'M15 6l-6 6 6 6',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  pause: 'M9 6v12M15 6v12',
  play: 'M8 5.5v13l10-6.5z',
  tool: 'M14.5 6.5a4 4 0 0 0-5.2 5.2L4 17l3 3 5.3-5.3a4 4 0 0 0 5.2-5.2L15 12l-3-3z',
  think: 'M12 4a6 6 0 0 0-3.5 10.9V17h7v-2.1A6 6 0 0 0 12 4ZM9.5 20h5',
  folder:
    'M3.5 7.5v10a1.500 1.500 0 0 0 1.500 1.500h14a1.500 1.500 0 0 0 1.500-1.500V9a1.500 1.500 0 0 0-1.500-1.500h-7L10 5H5a1.500 1.500 0 0 0-1.500 1.500Z',
  file: 'M7 3.5h7l4 4v13H7zM14 3.5v4h4',
  budget:
    'M12 4v16M16 7.5c-.8-1-2.2-1.5-4-1.5-2.200 0-4 1-4 2.900 0 4.200 8.200 2 8.200 6.200 0 1.900-1.900 2.900-4.200 2.900-2 0-3.500-.6-4.400-1.800',
} as const;

export type IconName = keyof typeof paths;

export const Icon = ({ name, size = 18 }: { readonly name: IconName; readonly size?: number }): ReactNode => (
  <svg className="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
    <path d={paths[name]} />
  </svg>
);

export const Logo = (): ReactNode => (
  <svg width="28" height="28" viewBox="0 0 64 64" aria-hidden="true" focusable="false">
    <rect width="64" height="64" rx="15" fill="#171a26" />
    <path d="M42.5 38.6A18 18 0 0 1 25.4 13.5 19.5 19.500 0 1 0 50.5 38.6a18 18 0 0 1-8 0Z" fill="#a9b4ff" />
    <circle cx="46" cy="20" r="3.2" fill="#ffd28a" />
  </svg>
);
