import type { Models } from '../../src/gateway/models.ts';
import { isLost, type Provider } from '../../src/gateway/providers/provider.ts';

/** One provider, without any routing. */
export function onlyProvider(provider: Provider): Models {
  return {
    async answer(request, signal) {
      const { model } = request.message;
      const response = await provider.answer(request, signal);
      return {
        response,
        lost: isLost(response.status),
        served: { provider: provider.name, model: typeof model === 'string' ? model : null, keyId: null },
      };
    },
  };
}
