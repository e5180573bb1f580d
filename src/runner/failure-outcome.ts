import { failed, hostUnfit, type Outcome } from '../domain/outcome.ts';
import type { Failure } from '../workspace/failure.ts';

/** With what git said, on one line: the message may refer to it, and this is the only place where a person sees it. */
export const failureOutcome = ({ code, message, retryable, detail }: Failure): Outcome => {
  if (code === 'host-unfit') return hostUnfit(message);
  const said = detail?.replaceAll(/\s+/g, ' ').trim().slice(0, 500) ?? '';
  return failed(code, said === '' ? message : `${message} (${said})`, retryable);
};
