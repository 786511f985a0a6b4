/** `aftertask/opentelemetry`: a span for each job that is added and one for each attempt, and the messaging metrics. */
import { createRequire } from 'node:module'
import type { Attributes, Context, Link, Span } from '@opentelemetry/api'
import { z } from 'zod'
import type { Telemetry, TracedAttempt, TracedJob } from '../engine/telemetry.ts'
import { readOptions } from '../rules/options.ts'
import { expectPeer } from '../rules/peers.ts'
import { toSpanContext, toTraceparent } from './opentelemetry/traceparent.ts'

/** How the span of an attempt stands to the span of the call that added its job. */
export type TraceRelation = 'parent' | 'link'

/** What `openTelemetry` takes. */
export interface OpenTelemetryOptions {
  /**
   * `parent` (the default): an attempt belongs to the trace of the call that added its job. `link`: it begins a trace of its
   * own that links there, which suits jobs that are many for one request or live for days. A function decides by task name.
   */
  relation?: TraceRelation | ((task: string) => TraceRelation)
  /** Whether the messaging metrics are recorded as well. Default true. */
  metrics?: boolean
}

const optionsSchema = z.strictObject({
  relation: z
    .union(
      [
        z.enum(['parent', 'link']),
        z.custom<(task: string) => TraceRelation>((value) => typeof value === 'function'),
      ],
      {
        error: "expected 'parent', 'link', or a function of the task's name",
      },
    )
    .default('parent'),
  metrics: z.boolean().default(true),
})

const NAME = 'aftertask'
// Jobs run for minutes: the advice of the conventions ends at ten seconds.
const BOUNDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800]

/**
 * Makes the option `telemetry` of `createRuntime`. With an OpenTelemetry SDK in the process, `send NAME` is a span of the call
 * that adds a job, and `process NAME` one of each attempt, made on the event loop: an attempt that was ended with its thread
 * has its span as well, with the error. Spans that a handler makes itself are children of its attempt where the SDK
 * is loaded in threads too, such as with `node --import ./otel.js`. Without an SDK nothing is recorded.
 *
 * Names follow the messaging conventions of OpenTelemetry (semantic conventions 1.44).
 *
 * @throws OptionsInvalidError when an option is unknown or has a bad value; PeerMissingError when `@opentelemetry/api` is not installed.
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): Telemetry {
  const { relation, metrics } = readOptions(optionsSchema, options, 'openTelemetry')
  expectPeer('@opentelemetry/api', 'aftertask/opentelemetry')
  const api = createRequire(import.meta.url)('@opentelemetry/api') as typeof import('@opentelemetry/api')
  return new Traces(api, typeof relation === 'function' ? relation : () => relation, metrics)
}

class Traces implements Telemetry {
  // `.ts` when this module itself runs from source, `.js` once built.
  readonly threadModule = new URL(`./opentelemetry/run-in-trace${import.meta.url.slice(-3)}`, import.meta.url)
  readonly #api: typeof import('@opentelemetry/api')
  readonly #relation: (task: string) => TraceRelation
  readonly #meters: Meters | undefined
  /** Spans of attempts that are with a thread, by job id: an attempt has one, and a job runs once at a time. */
  readonly #running = new Map<string, Span>()

  constructor(
    api: typeof import('@opentelemetry/api'),
    relation: (task: string) => TraceRelation,
    withMetrics: boolean,
  ) {
    this.#api = api
    this.#relation = relation
    this.#meters = withMetrics ? new Meters(api) : undefined
  }

  added(job: TracedJob): string | undefined {
    const { context, SpanKind, trace } = this.#api
    const attributes = attributesOf('send', job)
    const options = { kind: SpanKind.PRODUCER, attributes }
    const active = context.active()
    // A server that is not instrumented has no span of its own, but its request may have come with a trace.
    const parent = trace.getSpan(active) === undefined ? this.#contextOf(job) : active
    const span = this.#tracer.startSpan(`send ${job.name}`, options, parent)
    span.end()
    this.#meters?.sent(job.name)
    return toTraceparent(span.spanContext())
  }

  sent(job: TracedJob): string | undefined {
    const { ROOT_CONTEXT, SpanKind, trace } = this.#api
    const from = this.#contextOf(job)
    const creator = trace.getSpanContext(from)
    const links: Link[] = creator === undefined ? [] : [{ context: creator }]
    const attributes = {
      ...attributesOf('process', job),
      'messaging.aftertask.attempt': job.attempt,
      'messaging.aftertask.pool': job.pool,
    }
    const options = { kind: SpanKind.CONSUMER, attributes, links }
    const parent = this.#relation(job.name) === 'parent' ? from : ROOT_CONTEXT
    const span = this.#tracer.startSpan(`process ${job.name}`, options, parent)
    // Without an SDK there is nothing to end.
    if (toTraceparent(span.spanContext()) === undefined) return undefined
    this.#running.set(job.id, span)
    return toTraceparent(span.spanContext())
  }

  takenBack(job: TracedJob): void {
    // A span that is never ended is never exported.
    this.#running.delete(job.id)
  }

  ended(job: TracedJob, attempt: TracedAttempt): void {
    const { outcome, startedAt, endedAt, error } = attempt
    const type = error === undefined ? undefined : errorType(error)
    this.#meters?.ended(job.name, attempt, type)
    const span = this.#running.get(job.id)
    if (span === undefined) return
    this.#running.delete(job.id)
    span.setAttribute('messaging.aftertask.outcome', outcome)
    if (startedAt !== undefined) span.addEvent('started', undefined, startedAt)
    if (error !== undefined) {
      span.recordException(error, endedAt)
      span.setAttribute('error.type', type as string)
      span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: error.message })
    }
    span.end(endedAt)
  }

  // Asked for each time: the SDK may be registered after the runtime was made.
  get #tracer(): import('@opentelemetry/api').Tracer {
    return this.#api.trace.getTracer(NAME)
  }

  /** The trace that a job has come with. */
  #contextOf({ context }: TracedJob): Context {
    const { ROOT_CONTEXT, trace } = this.#api
    const from = context?.traceparent === undefined ? undefined : toSpanContext(context.traceparent)
    return from === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, from)
  }
}

/** The metrics that the conventions name. */
class Meters {
  readonly #api: typeof import('@opentelemetry/api')
  #made: Instruments | undefined

  constructor(api: typeof import('@opentelemetry/api')) {
    this.#api = api
  }

  sent(task: string): void {
    this.#instruments.sent.add(1, destination(task, 'send'))
  }

  ended(task: string, { startedAt, endedAt }: TracedAttempt, failure: string | undefined): void {
    const error = failure === undefined ? {} : { 'error.type': failure }
    const attributes = { ...destination(task, 'process'), ...error }
    const { consumed, duration } = this.#instruments
    consumed.add(1, attributes)
    if (startedAt !== undefined) duration.record((endedAt - startedAt) / 1000, attributes)
  }

  // Made at the first use, when the SDK is there: an instrument of an API without one stays deaf.
  get #instruments(): Instruments {
    this.#made ??= instrumentsOf(this.#api)
    return this.#made
  }
}

type Instruments = ReturnType<typeof instrumentsOf>

function instrumentsOf({ metrics }: typeof import('@opentelemetry/api')) {
  const meter = metrics.getMeter(NAME)
  const advice = { explicitBucketBoundaries: BOUNDS }
  return {
    sent: meter.createCounter('messaging.client.sent.messages', { unit: '{message}' }),
    consumed: meter.createCounter('messaging.client.consumed.messages', { unit: '{message}' }),
    duration: meter.createHistogram('messaging.process.duration', { unit: 's', advice }),
  }
}

function destination(task: string, operation: string): Attributes {
  return {
    'messaging.system': NAME,
    'messaging.operation.name': operation,
    'messaging.destination.name': task,
  }
}

function attributesOf(operation: 'send' | 'process', job: TracedJob): Attributes {
  return {
    ...destination(job.name, operation),
    'messaging.operation.type': operation,
    'messaging.message.id': job.id,
  }
}

/** Of few values: the code of an error, or its class. */
function errorType(error: Error): string {
  const code: unknown = Reflect.get(error, 'code')
  return typeof code === 'string' ? code : error.name
}
