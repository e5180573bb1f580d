import type { FailedTry, Tries } from '../../src/gateway/models.ts';
import type { ModelRequest } from '../../src/gateway/providers/provider.ts';

/** Of a request that nobody pays for. */
export const freeTries = (request: ModelRequest, failed: (tried: FailedTry) => void = () => undefined): Tries => ({
  failed,
  again: async () => request,
});
