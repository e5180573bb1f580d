import type { ModelRequest, Provider } from './providers/provider.ts';

/** Who answered a request, and as what. */
export interface Served {
  readonly provider: string;
  /** By the provider's own name; null when the request named none. */
  readonly model: string | null;
  /** Which of the provider's keys, without telling it; null where there is no key. */
  readonly keyId: string | null;
}

interface Answered {
  readonly response: Response;
  readonly served: Served;
}

/** All that is behind the door: whichever provider, key and model it takes to get an answer. It promises what a provider does. */
export interface Models {
  answer(request: ModelRequest, signal: AbortSignal): Promise<Answered>;
}

export function onlyProvider(provider: Provider): Models {
  return {
    async answer(request, signal) {
      const { model } = request.message;
      const response = await provider.answer(request, signal);
      return { response, served: { provider: provider.name, model: typeof model === 'string' ? model : null, keyId: null } };
    },
  };
}
