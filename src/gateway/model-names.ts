import type { Tier } from '../domain/tier.ts';

export type ProviderName = 'openrouter' | 'ai-gateway' | 'claude' | 'compatible' | 'rehearsal';

/** The newest of each family that the pinned Agent SDK knows. */
const defaults: Readonly<Record<Tier, string>> = { light: 'claude-haiku-5-5', standard: 'claude-sonnet-5-5', deep: 'claude-opus-5-5' };

export interface ModelSettings {
  readonly llmModel: string | undefined;
  readonly llmModelLight: string | undefined;
  readonly llmModelDeep: string | undefined;
}

/**
 * The model of each tier. One that was named for code does the hard work as well, unless that has its own: nobody who chose
 * a cheap model wants to find a dear one on the bill. A server of one's own has only the models that were named.
 */
export function tierModels(
  { llmModel, llmModelLight, llmModelDeep }: ModelSettings,
  provider: string,
): Readonly<Record<Tier, string | undefined>> {
  const known = provider === 'compatible' ? undefined : defaults;
  const named = llmModel === undefined ? undefined : anthropicName(llmModel);
  return {
    light: nameIfAny(llmModelLight) ?? known?.light ?? named,
    standard: named ?? known?.standard,
    deep: nameIfAny(llmModelDeep) ?? named ?? known?.deep,
  };
}

const nameIfAny = (name: string | undefined): string | undefined => (name === undefined ? undefined : anthropicName(name));

/** OpenRouter's name of a Claude model as Anthropic writes it; any other name as it is. */
function anthropicName(name: string): string {
  const [, own] = /^anthropic\/(claude-[a-z0-9.-]+)$/.exec(name) ?? [];
  return own === undefined ? name : own.replaceAll('.', '-');
}

/** By rule: OpenRouter puts the maker before a name, points into its version, and leaves out dates. */
export function nameAt(provider: string, model: string, overrides: Readonly<Record<string, string>> = {}): string {
  const name = anthropicName(model);
  const own = overrides[name] ?? overrides[model];
  if (own !== undefined) return own;
  if (provider !== 'openrouter' || !name.startsWith('claude-')) return provider === 'compatible' ? model : name;
  return `anthropic/${name.replace(/-20\d{6}$/, '').replace(/(\d)-(\d{1,2})(?=$|-)/, '$1.$2')}`;
}
