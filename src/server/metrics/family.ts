import {
  Counter,
  type CounterConfiguration,
  Gauge,
  type GaugeConfiguration,
  Histogram,
  type HistogramConfiguration,
  type Registry,
} from 'prom-client';

/** Makes metrics in one registry. */
export interface Instruments {
  counter<T extends string>(about: Omit<CounterConfiguration<T>, 'registers'>): Counter<T>;
  gauge<T extends string>(about: Omit<GaugeConfiguration<T>, 'registers'>): Gauge<T>;
  histogram<T extends string>(about: Omit<HistogramConfiguration<T>, 'registers'>): Histogram<T>;
}

export const instrumentsOf = (registry: Registry): Instruments => ({
  counter: (about) => new Counter({ ...about, registers: [registry] }),
  gauge: (about) => new Gauge({ ...about, registers: [registry] }),
  histogram: (about) => new Histogram({ ...about, registers: [registry] }),
});

/**
 * For labels whose values come from outside, such as names of models and of tools: more than `most` of them are one, so that
 * nobody can fill the memory of whoever scrapes.
 */
export function boundedLabel(most = 100): (value: string | null) => string {
  const known = new Set<string>();
  return (value) => {
    if (value === null || value === '') return 'unknown';
    if (known.size < most) known.add(value);
    return known.has(value) ? value : 'other';
  };
}

/** Counting what is open takes a moment when there is a million of it; whoever asks within this time gets the last count. */
const restMs = 5_000;

/** Reads at most every few seconds, whoever asks; those who ask at once share one reading. */
export function atRest<T>(monotonic: () => number, read: () => Promise<T>): () => Promise<T> {
  let readAt = Number.NEGATIVE_INFINITY;
  let last: Promise<T> | undefined;
  return () => {
    if (last && monotonic() - readAt < restMs) return last;
    readAt = monotonic();
    const reading = read();
    last = reading;
    reading.catch(() => {
      if (last === reading) last = undefined;
    });
    return reading;
  };
}
