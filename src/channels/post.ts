import type { Sending } from '../outbox/channel.ts';
import type { Clock } from '../platform/clock.ts';
import { textWithin } from '../platform/text-within.ts';

/** An answer that is longer is nothing that a person is shown, and may have no end. */
const mostSaid = 64 * 1024;

/**
 * Posts to a web hook and says what its answer means for the outbox. Redirects are not followed: an address that was
 * configured is the one that is told. Nothing of the address gets into a message, since many carry their secret in it.
 */
export async function post(
  { url, service, clock }: { readonly url: string; readonly service: string; readonly clock: Clock },
  { headers = {}, body }: { readonly headers?: Readonly<Record<string, string>>; readonly body: string },
  signal: AbortSignal,
): Promise<Sending> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      signal,
      headers: { 'content-type': 'application/json', 'user-agent': 'nightshift', ...headers },
      body,
    });
  } catch (error) {
    const code = codeOf(error);
    // A connection that was never made carried nothing; of any other failure nobody knows.
    const doubtful = !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code ?? '');
    return { kind: 'retry', code: 'unreachable', message: `${service} cannot be reached (${code ?? 'no answer'}).`, doubtful };
  }
  const { status, body: answer } = response;
  if (status >= 200 && status < 300) {
    await answer?.cancel().catch(() => undefined);
    return { kind: 'sent', ref: null };
  }
  const said = ((await textWithin(answer, mostSaid).catch(() => '')) ?? '').slice(0, 300);
  if (status === 429 || status === 408 || status >= 500) {
    const afterMs = waitIn(response.headers.get('retry-after'), clock);
    return {
      kind: 'retry',
      code: `http-${status}`,
      message: `${service} answered with status ${status}.`,
      ...(afterMs === undefined ? {} : { afterMs }),
      ...(status === 429 ? { wholeChannel: true as const } : {}),
      doubtful: status >= 500,
    };
  }
  return {
    kind: 'refused',
    code: `http-${status}`,
    message: `${service} refuses it with status ${status}${said === '' ? '' : `: ${said}`}.`,
  };
}

/** Whether somebody answers there, whatever they say to a request that tells them nothing. What is wrong, or undefined. */
export async function answers(
  { url, service }: { readonly url: string; readonly service: string },
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { status } = await fetch(url, { method: 'HEAD', redirect: 'manual', signal, headers: { 'user-agent': 'nightshift' } });
    // Some know no other request than those they are made for, and say so.
    return status < 500 || status === 501 ? undefined : `${service} answers with status ${status}`;
  } catch (error) {
    signal.throwIfAborted();
    return `${service} cannot be reached (${codeOf(error) ?? 'no answer'})`;
  }
}

const codeOf = (error: unknown): string | undefined => ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code;

/** Seconds or a date. */
function waitIn(header: string | null, clock: Clock): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,6}$/.test(header)) return Number(header) * 1_000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - clock.now());
}
