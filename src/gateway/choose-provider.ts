import { readFileSync } from 'node:fs';
import { Unusable } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { anthropicProvider } from './providers/anthropic.ts';
import type { Provider } from './providers/provider.ts';
import { rehearsalProvider } from './providers/rehearsal.ts';
import { demoScript } from './rehearsal/demo.ts';
import { parseScript } from './rehearsal/script.ts';

export interface ProviderSettings {
  readonly llmProvider: string | undefined;
  readonly llmApiKey: string | undefined;
  readonly llmBaseUrl: string | undefined;
  readonly rehearsalScript: string | undefined;
}

/** The provider that the settings name, or none. A key alone means Claude. Throws `Unusable` for settings that cannot work. */
export function chooseProvider(
  { llmProvider, llmApiKey, llmBaseUrl, rehearsalScript }: ProviderSettings,
  clock: Clock,
): Provider | undefined {
  const name = llmProvider ?? (llmApiKey === undefined ? undefined : 'claude');
  switch (name) {
    case undefined:
      return undefined;
    case 'rehearsal':
      return rehearsalProvider([...(rehearsalScript === undefined ? [] : [scriptIn(rehearsalScript)]), demoScript()], clock);
    case 'claude':
      if (llmApiKey === undefined) throw new Unusable('no-api-key', 'LLM_PROVIDER is claude, but there is no key. Set LLM_API_KEY.');
      return anthropicProvider({ baseUrl: llmBaseUrl ?? 'https://api.anthropic.com', apiKey: llmApiKey }, clock);
    default:
      throw new Unusable('bad-setting', `llmProvider (LLM_PROVIDER) cannot be "${name}". Allowed: claude, rehearsal.`);
  }
}

function scriptIn(path: string): ReturnType<typeof parseScript> {
  try {
    return parseScript(readFileSync(path, 'utf8'), path);
  } catch (cause) {
    if (cause instanceof Unusable) throw cause;
    throw new Unusable(
      'bad-rehearsal',
      `The rehearsal script ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`,
      cause,
    );
  }
}
