import type { Context, MiddlewareHandler } from 'hono';
import type { AppEnv, RequestSpan } from './env.ts';

/** Told of each request, where traces are kept. `parent` is asked once, when it is known who sent it. */
export type TraceRequest = (parent: () => string | undefined) => RequestSpan;

/** For the wish that a request makes. */
export function traceOf(context: Context<AppEnv>): { readonly traceparent?: string } {
  const span = context.get('span');
  return span === undefined ? {} : { traceparent: span.traceparent };
}

export function traced(begin: TraceRequest): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    // A stranger would have everything kept, against the sampler, or add to other people's traces.
    const span = begin(() => (context.get('caller') ? context.req.header('traceparent') : undefined));
    context.set('span', span);
    await next();
    // The pattern of the route, never the path: who asks for what is not there cannot make up names.
    span.end({ method: context.req.method, route: context.get('requirement')?.action ?? null, status: context.res.status });
  };
}
