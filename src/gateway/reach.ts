import type { Upstream } from './routed-models.ts';

/** Asks a provider for its list of models, which costs nothing. What is wrong, or undefined. Rejects only when the signal aborts. */
export async function reach({ keys }: Upstream, signal: AbortSignal): Promise<string | undefined> {
  const key = keys.next(new Set())?.key;
  if (!key) return 'no key can be used';
  const caller = { runId: 'health', taskId: null, conversationId: null, kind: 'task' } as const;
  const response = await key.provider.answer(
    { caller, endpoint: 'models', query: '?limit=1', headers: new Headers(), body: null, message: {} },
    signal,
  );
  await response.body?.cancel();
  // Some that speak the API have no such list; they answered, and took the key.
  return response.ok || response.status === 404 || response.status === 405 ? undefined : `answers with ${response.status}`;
}
