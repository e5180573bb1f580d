import type { Message } from '../domain/mail.ts';
import { headline, type Notice } from '../domain/notice.ts';
import type { Clock } from '../platform/clock.ts';
import type { AlertChannel } from './alert-channel.ts';
import { answers, post } from './post.ts';

const colours = { info: '#3b82f6', warning: '#f59e0b', critical: '#dc2626' } as const;
const longest = 3_000;

/**
 * Slack's incoming web hooks. They have neither an id nor a way to look something up, so what may have arrived already is
 * said again with a word that it may be: an alarm twice is better than none.
 */
export function slackChannel({ webhookUrl, clock }: { readonly webhookUrl: string; readonly clock: Clock }): AlertChannel {
  return {
    name: 'slack',
    reach: (signal) => answers({ url: webhookUrl, service: 'Slack' }, signal),
    send: (message, signal) => post({ url: webhookUrl, service: 'Slack', clock }, { body: JSON.stringify(slackBody(message)) }, signal),
  };
}

function slackBody(message: Message): unknown {
  const notice = message.body as Notice;
  const again = message.doubtful ? '\n_Sent again: it is not known whether the first one arrived._' : '';
  const text = `${escaped(notice.text).slice(0, longest)}${again}`;
  return {
    text: escaped(headline(notice)),
    attachments: [
      { color: notice.resolved ? '#16a34a' : colours[notice.severity], text, mrkdwn_in: ['text'], ts: Math.floor(notice.at / 1_000) },
    ],
  };
}

/** The three that mean something to Slack: nobody gets a link or a mention in by the title of a task. */
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
