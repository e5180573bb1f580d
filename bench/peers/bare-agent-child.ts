import { query } from '@anthropic-ai/claude-agent-sdk';
import type { BareRun, BareSaid } from './bare-agent.ts';

/** The SDK as its documentation says, with nothing around it. Loaded before it is asked, so that `query()` alone is measured. */
process.once('message', (message) => void converseAll(message as readonly BareRun[]));
process.once('disconnect', () => process.exit());
tell({ ready: true });

async function converseAll(runs: readonly BareRun[]): Promise<void> {
  tell({ calledAt: performance.timeOrigin + performance.now() });
  const failures = await Promise.all(runs.map(converse));
  tell({ failure: failures.find((failure) => failure !== undefined) ?? null });
}

async function converse({ directory, env, prompt, model }: BareRun): Promise<string | undefined> {
  let end: string | undefined = 'it ended without a result';
  try {
    const messages = query({
      prompt,
      options: {
        cwd: directory,
        env: { ...env },
        model,
        permissionMode: 'bypassPermissions',
        allowDangerouslySkipPermissions: true,
        settingSources: [],
        systemPrompt: { type: 'preset', preset: 'claude_code' },
      },
    });
    for await (const message of messages) {
      if (message.type === 'result') end = message.is_error ? `it ended as ${message.subtype}` : undefined;
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return end;
}

function tell(said: BareSaid): void {
  process.send?.(said);
}
