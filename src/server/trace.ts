import type { Context, MiddlewareHandler } from 'hono';
import type { AppEnv } from './env.ts';

/** Told of each request, where traces are kept. */
export type TraceRequest = (traceparent: string | undefined) => {
  /** What is asked for by this request belongs below it. */
  readonly traceparent: string;
  end(answer: { readonly method: string; readonly route: string | null; readonly status: number }): void;
};

/** For the wish that a request makes. */
export function traceOf(context: Context<AppEnv>): { readonly traceparent?: string } {
  const traceparent = context.get('traceparent');
  return traceparent === undefined ? {} : { traceparent };
}

export function traced(begin: TraceRequest): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    const span = begin(context.req.header('traceparent'));
    context.set('traceparent', span.traceparent);
    await next();
    // The pattern of the route, never the path: who asks for what is not there cannot make up names.
    span.end({ method: context.req.method, route: context.get('requirement')?.action ?? null, status: context.res.status });
  };
}
