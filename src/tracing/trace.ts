import { createHash, randomBytes } from 'node:crypto';
import type { Sampler } from '../domain/sampler.ts';

/** Where a span stands, as W3C Trace Context has it. */
export interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

export interface Span extends SpanContext {
  readonly parentId: string | null;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  /** Epoch milliseconds. */
  readonly startMs: number;
  readonly endMs: number;
  readonly failed: boolean;
  /** Null is left out. */
  readonly attributes: Readonly<Record<string, string | number | boolean | null>>;
}

export const newTraceId = (): string => randomBytes(16).toString('hex');
export const newSpanId = (): string => randomBytes(8).toString('hex');

/** The same for the same thing on every node and after every restart, so that what is told apart fits together. */
export const traceIdOf = (subject: string): string => digest(subject).slice(0, 32);
export const spanIdOf = (subject: string): string => digest(subject).slice(32, 48);

const digest = (subject: string): string => createHash('sha256').update(subject).digest('hex');

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Undefined for what is none; then whoever sent it is told nothing, and a trace begins here. */
export function parentIn(header: string | null | undefined): SpanContext | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] = form.exec(header ?? '') ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export const traceparentOf = ({ traceId, spanId, sampled }: SpanContext): string => `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;

export type Sampled = (traceId: string, parent: SpanContext | undefined) => boolean;

/** Every server that sees the same trace decides alike. */
export function samplerOf(name: Sampler, ratio: number): Sampled {
  const byParent = name.startsWith('parentbased_');
  const alone: (traceId: string) => boolean = name.endsWith('always_on')
    ? () => true
    : name.endsWith('always_off')
      ? () => false
      : // The last 56 bits are the ones that the standard promises to be random.
        (traceId) => Number.parseInt(traceId.slice(18), 16) >= (1 - ratio) * 2 ** 56;
  return (traceId, parent) => (byParent && parent ? parent.sampled : alone(traceId));
}
