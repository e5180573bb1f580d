import { readFileSync } from 'node:fs';
import { Unusable } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { createKeys } from './keys.ts';
import { type ModelSettings, nameAt, type ProviderName } from './model-names.ts';
import { anthropicProvider } from './providers/anthropic.ts';
import { rehearsalProvider } from './providers/rehearsal.ts';
import { demoScript } from './rehearsal/demo.ts';
import { parseScript } from './rehearsal/script.ts';
import type { Upstream } from './routed-models.ts';
import { type Secrets, secretsIn } from './secrets.ts';

export interface ProviderSettings extends ModelSettings {
  readonly llmProvider: ProviderName | undefined;
  readonly llmApiKey: string | undefined;
  readonly llmBaseUrl: string | undefined;
  readonly anthropicApiKey: string | undefined;
  readonly openrouterApiKey: string | undefined;
  readonly aiGatewayApiKey: string | undefined;
  readonly aiGatewayToken: string | undefined;
  readonly aiGatewayAccount: string | undefined;
  readonly aiGatewayId: string | undefined;
  readonly features: readonly string[];
  readonly llmModelNames: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly rehearsalScript: string | undefined;
}

interface Surroundings {
  readonly clock: Clock;
  readonly chance: () => number;
  warn(message: string): void;
}

/** The order in which providers are asked when nothing else is said. */
const order = ['openrouter', 'ai-gateway', 'claude'] as const;
type Chained = (typeof order)[number];

/**
 * The providers to ask, the first one first; none when nothing is set up. LLM_PROVIDER decides, then a feature flag, then
 * the order; the rest of the order stands in. Nothing stands in for a server of one's own, whose owner may have it so that
 * nothing leaves the house, nor for the rehearsal, which costs nothing. Throws `Unusable` for settings that cannot work.
 */
export function chooseProviders(settings: ProviderSettings, around: Surroundings): readonly Upstream[] {
  const first = settings.llmProvider ?? flagged(settings) ?? byKeyAlone(settings);
  switch (first) {
    case 'rehearsal':
      return [rehearsal(settings, around)];
    case 'compatible':
      return [compatible(settings, around)];
    default: {
      const known = order.filter((name) => name === first || hasOwnKeys(name, settings));
      const sorted = first === undefined ? known : [first, ...known.filter((name) => name !== first)];
      return sorted.map((name) => chained(name, settings, name === first, around));
    }
  }
}

function flagged({ features }: ProviderSettings): Chained | undefined {
  return order.find((name) => features.includes(`llm-${name}`));
}

/** A key that does not say whose it is: one of OpenRouter shows it, any other is Anthropic's. */
function byKeyAlone({ llmApiKey }: ProviderSettings): Chained | undefined {
  if (llmApiKey === undefined) return undefined;
  return isOpenRouters(llmApiKey) ? 'openrouter' : 'claude';
}

const isOpenRouters = (key: string): boolean => key.startsWith('sk-or-');
const isAnthropics = (key: string): boolean => key.startsWith('sk-ant-');

function hasOwnKeys(name: Chained, settings: ProviderSettings): boolean {
  switch (name) {
    case 'openrouter':
      return settings.openrouterApiKey !== undefined;
    case 'ai-gateway':
      return settings.aiGatewayApiKey !== undefined || settings.aiGatewayToken !== undefined;
    case 'claude':
      return settings.anthropicApiKey !== undefined;
  }
}

/** LLM_API_KEY and LLM_BASE_URL belong to the provider that is asked first; one's own settings go before. */
function chained(name: Chained, settings: ProviderSettings, isFirst: boolean, around: Surroundings): Upstream {
  const baseUrl = isFirst ? settings.llmBaseUrl : undefined;
  switch (name) {
    case 'openrouter': {
      const secrets = keysOf(name, 'OPENROUTER_API_KEY', settings.openrouterApiKey, settings, isFirst, around);
      if (baseUrl === undefined && secrets().some(isAnthropics)) {
        const right = { whose: 'Anthropic', provider: 'claude', variable: 'ANTHROPIC_API_KEY' } as const;
        throw misplaced(settings.openrouterApiKey === undefined ? 'LLM_API_KEY' : 'OPENROUTER_API_KEY', 'OpenRouter', right);
      }
      return upstream(name, settings, around, secrets, { baseUrl: baseUrl ?? 'https://openrouter.ai/api', keyAs: 'bearer' });
    }
    case 'claude': {
      const secrets = keysOf(name, 'ANTHROPIC_API_KEY', settings.anthropicApiKey, settings, isFirst, around);
      if (baseUrl === undefined && secrets().some(isOpenRouters)) {
        const right = { whose: 'OpenRouter', provider: 'openrouter', variable: 'OPENROUTER_API_KEY' } as const;
        throw misplaced(settings.anthropicApiKey === undefined ? 'LLM_API_KEY' : 'ANTHROPIC_API_KEY', "Claude's own API", right);
      }
      return upstream(name, settings, around, secrets, { baseUrl: baseUrl ?? 'https://api.anthropic.com' });
    }
    case 'ai-gateway': {
      const token = settings.aiGatewayToken;
      const gatewayToken = token === undefined ? undefined : secretsIn(token, 'AI_GATEWAY_TOKEN', around.clock, around.warn);
      // With a token alone, the gateway itself holds the provider's key.
      const keyed = settings.aiGatewayApiKey !== undefined || (isFirst && settings.llmApiKey !== undefined);
      const secrets =
        keyed || !gatewayToken ? keysOf(name, 'AI_GATEWAY_API_KEY', settings.aiGatewayApiKey, settings, isFirst, around) : none;
      const way = { baseUrl: gatewayUrl(settings, baseUrl), ...(gatewayToken ? { gatewayToken: () => gatewayToken()[0] ?? '' } : {}) };
      return upstream(name, settings, around, secrets, way);
    }
  }
}

/** A key without an owner's name goes wherever LLM_PROVIDER says; any other is in the wrong variable. */
function misplaced(
  variable: string,
  where: string,
  right: { readonly whose: string; readonly provider: Chained; readonly variable: string },
): Unusable {
  const remedy = variable === 'LLM_API_KEY' ? `Set LLM_PROVIDER=${right.provider}.` : `Put it into ${right.variable} instead.`;
  return new Unusable('bad-setting', `${variable} holds a key of ${right.whose}, which ${where} does not take. ${remedy}`);
}

const noSecret = [''] as const;
const none: Secrets = () => noSecret;

function keysOf(
  name: Chained,
  variable: string,
  own: string | undefined,
  { llmApiKey }: ProviderSettings,
  isFirst: boolean,
  { clock, warn }: Surroundings,
): Secrets {
  if (own !== undefined) return secretsIn(own, variable, clock, warn);
  if (isFirst && llmApiKey !== undefined) return secretsIn(llmApiKey, 'LLM_API_KEY', clock, warn);
  const orToken = name === 'ai-gateway' ? ', or AI_GATEWAY_TOKEN if the gateway holds it' : '';
  throw new Unusable('no-api-key', `The model provider is ${name}, but there is no key. Set ${variable} or LLM_API_KEY${orToken}.`);
}

/** With account and gateway in the path, and the provider's name at its end, which is easily left out. */
function gatewayUrl({ aiGatewayAccount, aiGatewayId }: ProviderSettings, baseUrl: string | undefined): string {
  if (baseUrl !== undefined) return baseUrl.replace(/^(https?:\/\/[^/]+\/v1\/[^/]+\/[^/]+)\/?$/, '$1/anthropic');
  const missing = [
    ...(aiGatewayAccount === undefined ? ['AI_GATEWAY_ACCOUNT_ID'] : []),
    ...(aiGatewayId === undefined ? ['AI_GATEWAY_ID'] : []),
  ];
  if (missing.length > 0) {
    throw new Unusable('bad-setting', `For the ai-gateway provider, ${missing.join(' and ')} must be set.`);
  }
  return `https://gateway.ai.cloudflare.com/v1/${aiGatewayAccount}/${aiGatewayId}/anthropic`;
}

function compatible(settings: ProviderSettings, around: Surroundings): Upstream {
  const { llmBaseUrl, llmApiKey } = settings;
  if (llmBaseUrl === undefined) {
    throw new Unusable('bad-setting', 'LLM_PROVIDER is compatible, but nothing says where that is. Set LLM_BASE_URL.');
  }
  const secrets = llmApiKey === undefined ? none : secretsIn(llmApiKey, 'LLM_API_KEY', around.clock, around.warn);
  return upstream('compatible', settings, around, secrets, { baseUrl: llmBaseUrl, keyAs: 'both' });
}

function upstream(
  name: ProviderName,
  settings: ProviderSettings,
  { clock, chance }: Surroundings,
  secrets: Secrets,
  way: Omit<Parameters<typeof anthropicProvider>[0], 'apiKey' | 'name'>,
): Upstream {
  return {
    name,
    keys: createKeys({ provider: name, secrets, connect: (apiKey) => anthropicProvider({ ...way, name, apiKey }, clock), clock, chance }),
    nameOf: (model) => nameAt(name, model, settings.llmModelNames[name]),
    listsModels: name === 'claude' || name === 'compatible',
  };
}

function rehearsal({ rehearsalScript }: ProviderSettings, { clock, chance }: Surroundings): Upstream {
  const provider = rehearsalProvider([...(rehearsalScript === undefined ? [] : [scriptIn(rehearsalScript)]), demoScript()], clock);
  return {
    name: provider.name,
    keys: createKeys({ provider: provider.name, secrets: none, connect: () => provider, clock, chance }),
    nameOf: (model) => model,
    listsModels: true,
  };
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
