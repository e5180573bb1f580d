export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const key = 'nightshift-theme';

/** A browser may refuse to keep anything; then the theme is the system's. */
export function chosenTheme(): Theme {
  try {
    return themes.find((each) => each === localStorage.getItem(key)) ?? 'system';
  } catch {
    return 'system';
  }
}

export function chooseTheme(theme: Theme): void {
  applyTheme(theme);
  try {
    localStorage.setItem(key, theme);
  } catch {
    // It holds until the page is left.
  }
}

/** Tabs look alike: what is chosen in another one is told. */
export function onThemeElsewhere(told: (theme: Theme) => void): () => void {
  const heard = (): void => told(chosenTheme());
  addEventListener('storage', heard);
  return () => removeEventListener('storage', heard);
}

export function applyTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}
