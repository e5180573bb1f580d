import { textWithin } from '../platform/text-within.ts';
import { errorIn } from './providers/error-forms.ts';
import type { Upstream } from './routed-models.ts';

interface Reached {
  readonly name: string;
  readonly trouble: string | undefined;
}

export const reachAll = (providers: readonly Upstream[], signal: AbortSignal): Promise<readonly Reached[]> =>
  Promise.all(providers.map(async (each) => ({ name: each.name, trouble: await reach(each, signal) })));

/** Asks a provider for its list of models, which costs nothing. What is wrong, or undefined. Rejects only when the signal aborts. */
async function reach({ keys }: Upstream, signal: AbortSignal): Promise<string | undefined> {
  const key = keys.next(new Set())?.key;
  if (!key) return 'no key can be used';
  const caller = { runId: 'health', taskId: null, conversationId: null, kind: 'task' } as const;
  const response = await key.provider.answer(
    { caller, endpoint: 'models', query: '?limit=1', headers: new Headers(), body: null, message: {} },
    signal,
  );
  // Some that speak the API have no such list; they answered, and took the key.
  if (response.ok || response.status === 404 || response.status === 405) {
    await response.body?.cancel();
    return undefined;
  }
  return `status ${response.status}${await saidIn(response)}`;
}

/** One that cannot be reached is an answer in the form of the API as well, and says why. */
async function saidIn({ body }: Response): Promise<string> {
  const { message } = errorIn((await textWithin(body, longestAnswer).catch(() => undefined)) ?? '');
  return message === undefined ? '' : `: ${message.slice(0, 200).replace(/\.$/, '')}`;
}

const longestAnswer = 64 * 2 ** 10;
