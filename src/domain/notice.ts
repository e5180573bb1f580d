import type { OutgoingMessage } from './mail.ts';

export const severities = ['info', 'warning', 'critical'] as const;
export type Severity = (typeof severities)[number];

/** What people are told through an alert channel, whichever it is. `resolved` takes back what was said under the same key. */
export interface Notice {
  readonly severity: Severity;
  readonly title: string;
  readonly text: string;
  readonly resolved: boolean;
  /** When it came to be, in epoch milliseconds. */
  readonly at: number;
}

/** One notice as a message to one channel. A later one under the same key goes in the place of the first if that is still waiting. */
export const noticeFor = (channel: string, key: string, notice: Notice): OutgoingMessage => ({
  channel,
  recipient: channel,
  kind: 'notice',
  key,
  body: notice,
});

/** The first line of whatever form it takes. */
export const headline = ({ severity, title, resolved }: Notice): string => `[${resolved ? 'resolved' : severity}] ${title}`;
