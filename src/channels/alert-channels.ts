import type { Clock } from '../platform/clock.ts';
import type { AlertChannel } from './alert-channel.ts';
import { emailChannel } from './email.ts';
import { limited } from './limited.ts';
import { pagerDutyChannel } from './pagerduty.ts';
import { slackChannel } from './slack.ts';
import { webhookChannel } from './webhook.ts';

export interface ChannelSettings {
  readonly slackWebhookUrl: string | undefined;
  readonly alertEmail: string | undefined;
  readonly smtpUrl: string | undefined;
  readonly pagerdutyRoutingKey: string | undefined;
  readonly alertWebhookUrl: string | undefined;
  readonly alertWebhookSecret: string | undefined;
}

const perMinute = 20;

/** The ways by which the owner is told of what cannot wait, as far as they are set up. */
export function alertChannels(
  settings: ChannelSettings,
  { clock, node }: { readonly clock: Clock; readonly node: string },
): readonly AlertChannel[] {
  const { slackWebhookUrl, alertEmail, smtpUrl, pagerdutyRoutingKey, alertWebhookUrl, alertWebhookSecret } = settings;
  const channels = [
    ...(slackWebhookUrl === undefined ? [] : [slackChannel({ webhookUrl: slackWebhookUrl, clock })]),
    ...(alertEmail === undefined || smtpUrl === undefined ? [] : [emailChannel({ smtpUrl, to: alertEmail })]),
    ...(pagerdutyRoutingKey === undefined ? [] : [pagerDutyChannel({ routingKey: pagerdutyRoutingKey, source: node, clock })]),
    ...(alertWebhookUrl === undefined ? [] : [webhookChannel({ url: alertWebhookUrl, secret: alertWebhookSecret, clock })]),
  ];
  return channels.map((channel) => limited(channel, perMinute, clock));
}
