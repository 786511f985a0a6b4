/** `aftertask/opentelemetry` with the real SDK, in the process and in its threads. */
import { context, metrics, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { bullmqBroker } from '../../src/brokers/bullmq.ts'
import type { Broker } from '../../src/brokers/port/broker.ts'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import type { RuntimeOptions } from '../../src/engine/runtime-options.ts'
import type { Telemetry } from '../../src/engine/telemetry.ts'
import { type AnyTask, defineTask } from '../../src/rules/task.ts'
import { openTelemetry } from '../../src/telemetry/opentelemetry.ts'
import type { SpanInThread } from '../fixtures/otel-in-thread.ts'
import { type StoreServer, storeServer, whyNot } from '../kit/store-servers.ts'
import { tempFolder } from '../kit/temp-folder.ts'
import { type LooseRuntime, startThreads } from '../kit/threads.ts'

/** Collects when a test asks for it. */
class ReaderByHand extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

const exporter = new InMemorySpanExporter()
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
const folder = tempFolder('otel')

const tasks = ['makesSpan', 'addsJob', 'spins', 'failsFirst', 'leaves'].map((name) =>
  defineTask({
    name: `traced.${name}`,
    payload: z.unknown(),
    handler: { module: new URL('../fixtures/handlers/traced.ts', import.meta.url), export: name },
    ...(name === 'spins' && { timeout: 20, killGrace: 1 }),
    ...(name === 'failsFirst' && { retry: { maxAttempts: 2, backoff: { delay: 1 } } }),
    ...(name === 'leaves' && { onCrash: 'fail' as const }),
  }),
) as AnyTask[]

const SDK = new URL('../fixtures/otel-in-thread.ts', import.meta.url).href

function start(options: Partial<RuntimeOptions> = {}): LooseRuntime {
  const pool = { threads: 1, execArgv: ['--import', SDK] }
  return startThreads(tasks, { telemetry: openTelemetry(), pool, ...options })
}

/** Adds a job within the span of a request, and resolves once the job is over. */
async function request(runtime: LooseRuntime, name: string): Promise<{ server: Span; job: string }> {
  const server = trace.getTracer('server').startSpan('POST /', { kind: SpanKind.SERVER, root: true })
  const job = context.with(trace.setSpan(context.active(), server), () => runtime.enqueue(`traced.${name}`))
  server.end()
  await job.settled
  return { server, job: job.id }
}

/** The spans of this process that have ended, by name. */
function ended(name: string): ReadableSpan[] {
  return exporter.getFinishedSpans().filter((span) => span.name === name)
}

/** The next span that a handler makes. */
function spanInThread(): Promise<SpanInThread> {
  const channel = new BroadcastChannel('otel-spans')
  onTestFinished(() => channel.close())
  return new Promise((resolve) => {
    channel.onmessage = (message) => resolve((message as { data: SpanInThread }).data)
  })
}

const idOf = (span: ReadableSpan | Span | undefined): string | undefined => span?.spanContext().spanId
const traceOf = (span: ReadableSpan | Span | undefined): string | undefined => span?.spanContext().traceId

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(provider)
})
afterEach(() => exporter.reset())
afterAll(() => {
  trace.disable()
  context.disable()
})

test('one trace holds the request, the adding of its job, the attempt, and what the handler makes itself', async () => {
  const runtime = start()
  const inThread = spanInThread()
  const { server, job } = await request(runtime, 'makesSpan')
  const [send] = ended('send traced.makesSpan')
  const [process] = ended('process traced.makesSpan')
  expect([send?.kind, process?.kind]).toEqual([SpanKind.PRODUCER, SpanKind.CONSUMER])
  expect(send?.parentSpanContext?.spanId).toBe(idOf(server))
  expect(process?.parentSpanContext?.spanId).toBe(idOf(send))
  expect(await inThread).toEqual({ name: 'mine', traceId: traceOf(server), parent: idOf(process) })
  expect(process?.attributes).toEqual({
    'messaging.system': 'aftertask',
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': 'traced.makesSpan',
    'messaging.message.id': job,
    'messaging.aftertask.attempt': 1,
    'messaging.aftertask.pool': 'default',
    'messaging.aftertask.outcome': 'completed',
  })
  expect(process?.status.code).toBe(SpanStatusCode.UNSET)
})

test('a job that a handler adds belongs to the trace of the attempt that added it', async () => {
  const runtime = start()
  const nested = new Promise<void>((resolve) => {
    runtime.on('job:completed', ({ job }) => job.name === 'traced.makesSpan' && resolve())
  })
  const { server } = await request(runtime, 'addsJob')
  await nested
  const [adding] = ended('process traced.addsJob')
  const [send] = ended('send traced.makesSpan')
  expect(send?.parentSpanContext?.spanId).toBe(idOf(adding))
  expect(traceOf(ended('process traced.makesSpan')[0])).toBe(traceOf(server))
})

test.each([
  ['spins', 'ERR_TASK_TIMEOUT', 'failed'],
  ['leaves', 'ERR_THREAD_EXITED', 'crashed'],
])('an attempt that ends with its thread has a span with its error: %s', async (name, type, outcome) => {
  await request(start(), name)
  const [span] = ended(`process traced.${name}`)
  expect(span?.attributes).toMatchObject({ 'error.type': type, 'messaging.aftertask.outcome': outcome })
  expect(span?.status.code).toBe(SpanStatusCode.ERROR)
  expect(span?.events.map((event) => event.name)).toContain('exception')
})

test('each attempt of a job that is tried again has a span of its own beside the others', async () => {
  await request(start(), 'failsFirst')
  const [send] = ended('send traced.failsFirst')
  const attempts = ended('process traced.failsFirst')
  expect(
    attempts.map(({ attributes }) => [attributes['messaging.aftertask.attempt'], attributes['error.type']]),
  ).toEqual([
    [1, 'ENOTYET'],
    [2, undefined],
  ])
  expect(attempts.map((span) => span.parentSpanContext?.spanId)).toEqual([idOf(send), idOf(send)])
})

test('with the relation "link" an attempt begins a trace of its own that links to the adding of its job', async () => {
  const relation = (name: string): 'link' | 'parent' => (name === 'traced.makesSpan' ? 'link' : 'parent')
  const { server } = await request(start({ telemetry: openTelemetry({ relation }) }), 'makesSpan')
  const [send] = ended('send traced.makesSpan')
  const [process] = ended('process traced.makesSpan')
  expect(process?.parentSpanContext).toBeUndefined()
  expect(traceOf(process)).not.toBe(traceOf(server))
  expect(process?.links.map(({ context: to }) => to.spanId)).toEqual([idOf(send)])
})

test('the messaging metrics count what was sent and consumed, by task and kind of error, and time the attempts', async () => {
  const reader = new ReaderByHand()
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }))
  onTestFinished(() => metrics.disable())
  const runtime = start()
  await request(runtime, 'failsFirst')
  await request(runtime, 'leaves')
  const { resourceMetrics } = await reader.collect()
  const shown = resourceMetrics.scopeMetrics.flatMap(({ metrics: all }) =>
    all.flatMap(({ descriptor, dataPoints }) =>
      dataPoints.map(({ attributes, value }) => {
        const { 'messaging.destination.name': task, 'error.type': error = 'none' } = attributes
        return `${descriptor.name} ${task} ${error}: ${typeof value === 'number' ? value : value.count}`
      }),
    ),
  )
  expect(shown.sort()).toEqual([
    'messaging.client.consumed.messages traced.failsFirst ENOTYET: 1',
    'messaging.client.consumed.messages traced.failsFirst none: 1',
    'messaging.client.consumed.messages traced.leaves ERR_THREAD_EXITED: 1',
    'messaging.client.sent.messages traced.failsFirst none: 1',
    'messaging.client.sent.messages traced.leaves none: 1',
    'messaging.process.duration traced.failsFirst ENOTYET: 1',
    'messaging.process.duration traced.failsFirst none: 1',
  ])
})

test('telemetry that throws is told of once, and costs no job', async () => {
  const lines: string[] = []
  const fail = (): never => {
    throw new Error('no collector')
  }
  const telemetry: Telemetry = {
    ...{ threadModule: undefined, added: fail, sent: fail, takenBack: fail, ended: fail },
  }
  const runtime = start({ telemetry, log: ({ message }) => void lines.push(message) })
  const job = runtime.enqueue('traced.failsFirst')
  expect((await job.settled).state).toBe('completed')
  expect(lines.filter((line) => line.includes('telemetry threw'))).toEqual([
    'telemetry threw, and is not heard again: Error: no collector',
  ])
})

test.each([
  ['relation', { relation: 'child' }],
  ['metrics', { metrics: 1 }],
  ['span', { span: true }],
])('openTelemetry refuses a bad option %s with ERR_OPTIONS_INVALID', (name, options) => {
  expect(() => openTelemetry(options as never)).toThrowError(
    expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', message: expect.stringContaining(`"${name}"`) }),
  )
})

describe('a trace goes on in another process', () => {
  const servers = new Map<string, StoreServer>()
  beforeAll(async () => {
    if (whyNot('redis') !== undefined) return
    const server = await storeServer('redis')
    servers.set('redis', server)
    await server.start()
  })
  afterAll(async () => {
    for (const server of servers.values()) await server.dispose()
  })

  /** A job is added by one runtime and run by another. */
  async function crosses(make: (role: 'producer' | 'worker') => Broker): Promise<void> {
    const adds = start({ broker: make('producer') })
    adds.pause()
    const server = trace.getTracer('server').startSpan('POST /', { root: true })
    const job = context.with(trace.setSpan(context.active(), server), () => adds.enqueue('traced.makesSpan'))
    server.end()
    await job.stored
    await adds.stop({ timeout: 0 })
    const inThread = spanInThread()
    start({ broker: make('worker') })
    expect((await inThread).traceId).toBe(traceOf(server))
  }

  test('over a journal', async () => {
    const file = folder.newFile()
    await crosses(() => sqliteBroker({ file }))
  })

  test.skipIf(whyNot('redis') !== undefined)('over Redis', async () => {
    const connection = servers.get('redis')?.url ?? ''
    await crosses((role) => bullmqBroker({ connection, role }))
  })
})
