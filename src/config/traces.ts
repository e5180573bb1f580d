import { Unusable } from '../domain/errors.ts';
import type { Config } from './settings.ts';

type TraceSettings = Pick<
  Config,
  | 'otelDisabled'
  | 'otelTracesExporter'
  | 'otelEndpoint'
  | 'otelTracesEndpoint'
  | 'otelHeaders'
  | 'otelTracesHeaders'
  | 'otelProtocol'
  | 'otelServiceName'
  | 'otelResourceAttributes'
  | 'otelTracesSampler'
  | 'otelTracesSamplerArg'
>;

/** Where traces go and how many, by the rules of OpenTelemetry; undefined when nobody asked for any. */
export function tracesOf(config: TraceSettings) {
  const { otelTracesExporter, otelEndpoint, otelTracesEndpoint } = config;
  if (config.otelDisabled || otelTracesExporter === 'none') return undefined;
  if (otelTracesExporter === undefined && otelEndpoint === undefined && otelTracesEndpoint === undefined) return undefined;
  if (config.otelProtocol !== 'http/json') {
    throw new Unusable(
      'bad-setting',
      `otelProtocol (OTEL_EXPORTER_OTLP_PROTOCOL) cannot be ${JSON.stringify(config.otelProtocol)}: traces are sent as http/json alone. Collectors take that at port 4318.`,
    );
  }
  const resource = pairsIn('otelResourceAttributes', config.otelResourceAttributes);
  return {
    url: otelTracesEndpoint ?? `${(otelEndpoint ?? 'http://localhost:4318').replace(/\/$/, '')}/v1/traces`,
    headers: { ...pairsIn('otelHeaders', config.otelHeaders), ...pairsIn('otelTracesHeaders', config.otelTracesHeaders) },
    serviceName: config.otelServiceName ?? resource['service.name'] ?? 'nightshift',
    resource,
    sampler: config.otelTracesSampler,
    ratio: config.otelTracesSamplerArg,
  };
}

/** `name=value,name=value`, with what is special in an address encoded as there. */
function pairsIn(setting: string, text = ''): Readonly<Record<string, string>> {
  try {
    return Object.fromEntries(
      text
        .split(',')
        .filter((pair) => pair.trim() !== '')
        .map((pair) => {
          const at = pair.indexOf('=');
          const name = pair.slice(0, at).trim();
          if (at < 0 || !/^[\w.-]+$/.test(name)) throw new Error('no name');
          return [name, decodeURIComponent(pair.slice(at + 1).trim())];
        }),
    );
  } catch (cause) {
    throw new Unusable('bad-setting', `${setting} cannot be read. Allowed: name=value pairs with commas between them.`, cause);
  }
}
