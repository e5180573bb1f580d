/**
 * A request as a server hands it to the gateway. A `Request` made with a signal no longer hears it once the `Request`
 * itself has been collected, so the signal goes beside it.
 */
export function incoming(
  url: string,
  { signal = new AbortController().signal, ...init }: Omit<RequestInit, 'signal'> & { signal?: AbortSignal | undefined },
) {
  const { method, headers, body } = new Request(url, init);
  return { method, url, headers, body, signal };
}
