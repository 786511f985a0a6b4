/** The W3C trace context, as it travels with jobs. */
import type { SpanContext } from '@opentelemetry/api'

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)

/** Reads a `traceparent`; undefined for what is none. */
export function toSpanContext(traceparent: string): SpanContext | undefined {
  const [, traceId = NO_TRACE, spanId = NO_SPAN, flags = '00'] = TRACEPARENT.exec(traceparent) ?? []
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
}

/** Writes a `traceparent`; undefined for the span of an API without an SDK, which stands for nothing. */
export function toTraceparent({ traceId, spanId, traceFlags }: SpanContext): string | undefined {
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}
