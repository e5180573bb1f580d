import type { Terminal } from '../terminal.ts';

/** The whole of a terminal, borrowed: what was on it before is there again afterwards, however the program ends. */
export interface Paper {
  redraw(): void;
  close(): void;
}

interface Page {
  draw(columns: number, rows: number): readonly string[];
  /** Somebody has seen enough. */
  leave(): void;
}

const enter = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const restore = '\x1b[?7h\x1b[?25h\x1b[?1049l';
// Terminals that know it show a frame when it is whole; the others see only lines that changed.
const beginFrame = '\x1b[?2026h';
const endFrame = '\x1b[?2026l';
/** Ages grow, and the clock ticks. */
const tickMs = 1_000;
const leavingKeys = new Set(['q', 'Q', '\x03', '\x04']);
const endings = ['SIGTERM', 'SIGHUP'] as const;

export function openPaper({ stdout, clock, keys, onResize }: Terminal, page: Page): Paper {
  let drawn: readonly string[] = [];
  let open = true;
  let cancelTick = (): void => undefined;

  function redraw(): void {
    if (!open) return;
    const lines = page.draw(stdout.columns || 80, stdout.rows || 24);
    const changed = lines.flatMap((line, at) => (line === drawn[at] ? [] : [`\x1b[${at + 1};1H${line}\x1b[0m\x1b[K`]));
    drawn = lines;
    if (changed.length > 0) stdout.write(`${beginFrame}${changed.join('')}${endFrame}`);
  }
  const tick = (): void => {
    redraw();
    cancelTick = clock.after(tickMs, tick);
  };
  const close = (): void => {
    if (!open) return;
    open = false;
    cancelTick();
    release();
    for (const signal of endings) process.off(signal, page.leave);
    process.off('exit', close);
    stdout.write(restore);
  };

  const ignoreKeys = keys?.((pressed) => {
    // Ctrl-C comes as a key while keys are read one by one.
    if ([...pressed].some((key) => leavingKeys.has(key))) page.leave();
  });
  const ignoreSize = onResize?.(() => {
    if (open) stdout.write('\x1b[2J');
    drawn = [];
    redraw();
  });
  const release = (): void => {
    ignoreKeys?.();
    ignoreSize?.();
  };
  for (const signal of endings) process.on(signal, page.leave);
  process.on('exit', close);
  stdout.write(enter);
  cancelTick = clock.after(tickMs, tick);
  return { redraw, close };
}
