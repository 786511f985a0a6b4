/** What runs in threads: handlers within the trace of their attempt, so that the user's own spans are its children. */
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { toSpanContext } from './traceparent.ts'

/** Calls a handler so that spans it makes become children of a trace. Returns what the handler returns. */
export function runInTrace(traceparent: string, call: () => unknown): unknown {
  const spanContext = toSpanContext(traceparent)
  if (spanContext === undefined) return call()
  return context.with(trace.setSpanContext(ROOT_CONTEXT, spanContext), call)
}
