import { createHash } from 'node:crypto';
import type { Transporter } from 'nodemailer';
import { headline, type Notice } from '../domain/notice.ts';
import type { Sending } from '../outbox/channel.ts';
import type { AlertChannel } from './alert-channel.ts';

/**
 * Mail through an SMTP server. The same message always has the same Message-ID, by which most servers and readers recognise
 * one that comes twice.
 */
export function emailChannel({
  smtpUrl,
  to,
  from,
}: {
  readonly smtpUrl: string;
  readonly to: string;
  readonly from?: string | undefined;
}): AlertChannel {
  // Loaded with the first mail: most servers send none.
  let opening: Promise<Transporter> | undefined;
  const open = async (): Promise<Transporter> => {
    const { createTransport } = await import('nodemailer');
    return createTransport(smtpUrl, { connectionTimeout: 15_000, greetingTimeout: 15_000, socketTimeout: 30_000 } as object);
  };
  return {
    name: 'email',
    /** As far as logging in, which sends nothing. */
    async reach(signal) {
      opening ??= open();
      const trying = (await opening).verify();
      try {
        await Promise.race([trying, aborted(signal)]);
        return undefined;
      } catch (error) {
        trying.catch(() => undefined);
        signal.throwIfAborted();
        const failed = failureOf(error as SmtpError);
        return failed.kind === 'sent' ? undefined : failed.message.replace(/\.$/, '');
      }
    },
    async send({ key, revision, body }, signal) {
      const notice = body as Notice;
      opening ??= open();
      const sending = (await opening).sendMail({
        from: from ?? to,
        to,
        subject: headline(notice),
        text: `${notice.text}\n\n${new Date(notice.at).toISOString()}\n`,
        messageId: `<${createHash('sha256').update(`${key}#${revision}`).digest('hex').slice(0, 32)}@nightshift>`,
        // Nobody wants the answer of a machine to a machine.
        headers: { 'auto-submitted': 'auto-generated' },
        disableUrlAccess: true,
        disableFileAccess: true,
      });
      try {
        await Promise.race([sending, aborted(signal)]);
        return { kind: 'sent', ref: null };
      } catch (error) {
        sending.catch(() => undefined); // it may still fail after we have stopped waiting
        return failureOf(error as SmtpError);
      }
    },
  };
}

interface SmtpError extends Error {
  readonly code?: string;
  readonly responseCode?: number;
  /** What was being said when it failed. */
  readonly command?: string;
}

function failureOf({ code, responseCode, command, name }: SmtpError): Sending {
  const what = responseCode === undefined ? (code ?? name) : `${code ?? name}, ${responseCode}`;
  // 5xx is for ever, but a refused login is a setting that somebody may be about to mend.
  if (responseCode !== undefined && responseCode >= 500 && code !== 'EAUTH') {
    return { kind: 'refused', code: `smtp-${responseCode}`, message: `The mail server refuses it (${what}).` };
  }
  const message = code === 'EAUTH' ? 'The mail server refuses the login in SMTP_URL.' : `The mail server did not take it (${what}).`;
  return { kind: 'retry', code: 'smtp', message, doubtful: command === undefined || command === 'DATA' };
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const stop = (): void => reject(new DOMException('took too long', 'TimeoutError'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
