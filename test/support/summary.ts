import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/** Closes the output with one plain line that any CI can read, and fails a run that was to skip nothing. */
export default class Summary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const count = { passed: 0, failed: unhandled.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state] += 1;
      if (module.state() === 'failed' && module.errors().length > 0) count.failed += 1;
    }
    if (process.env['NIGHTSHIFT_TEST_NOTHING_SKIPPED'] && count.skipped > 0) {
      process.exitCode = 1;
      console.log(`${count.skipped} skipped, where nothing may be`);
    }
    console.log(`${count.passed} passed, ${count.failed} failed${count.skipped > 0 ? `, ${count.skipped} skipped` : ''}`);
  }
}
