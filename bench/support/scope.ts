/** What the bench has started, ended in the reverse order: at the end, on a failure and on Ctrl-C alike. */
export class Scope {
  private readonly ends: (() => unknown)[] = [];
  private ending: Promise<void> | undefined;

  onEnd(end: () => unknown): void {
    this.ends.push(end);
  }

  /** Whoever asks, and however often: resolves when everything has ended. */
  end(): Promise<void> {
    this.ending ??= this.endAll();
    return this.ending;
  }

  private async endAll(): Promise<void> {
    for (let end = this.ends.pop(); end; end = this.ends.pop()) {
      try {
        await end();
      } catch (error) {
        console.error('could not clean up:', error);
      }
    }
  }
}
