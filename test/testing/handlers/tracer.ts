/** Runs a handler in a trace: tells which. */
export function runInTrace(traceparent: string, call: () => unknown): unknown {
  return `${traceparent}: ${String(call())}`
}
