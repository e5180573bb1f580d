import type { Reply } from './isolated.ts';
import { type Measurement, measurements } from './measurements.ts';

process.once('message', (message) => {
  const { name, input } = message as { name: Measurement; input: never };
  measurements[name](input).then(
    (result: unknown) => answer({ result }),
    (error: unknown) => answer({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
// The parent has the answer, or is gone.
process.once('disconnect', () => process.exit());

function answer(reply: Reply): void {
  process.send?.(reply);
}
