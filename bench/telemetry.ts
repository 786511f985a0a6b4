/** Tiny jobs through one thread with telemetry and without, in turn: what a trace of each job costs. */
import { trace } from '@opentelemetry/api'
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { createRuntime } from 'aftertask'
import { openTelemetry } from 'aftertask/opentelemetry'
import { type Findings, figure } from './kit/findings.ts'
import { collect } from './kit/garbage.ts'
import { spread } from './kit/statistics.ts'
import { noop } from './tasks.ts'

const ROUNDS = 5
const JOBS = 20_000

const NONE = 'no telemetry'
const DEAF = 'telemetry, no SDK'
const FULL = 'telemetry, with an SDK'

/** Takes spans and lets them go: what a network costs is not this row's subject. */
class Nowhere implements SpanExporter {
  export(_spans: ReadableSpan[], done: (result: { code: number }) => void): void {
    done({ code: 0 })
  }

  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {}
}

/** Measures the row. */
export default async function telemetry(): Promise<Findings> {
  const provider = new TracerProvider({
    spanProcessors: [new BatchSpanProcessor({ exporter: new Nowhere() })],
  })
  const rates = new Map([NONE, DEAF, FULL].map((name) => [name, [] as number[]]))
  for (let round = -1; round < ROUNDS; round++) {
    for (const [name, found] of rates) {
      if (name === FULL) trace.setGlobalTracerProvider(provider)
      const perSecond = await rate(name !== NONE)
      trace.disable()
      // The first round warms up.
      if (round >= 0) found.push(perSecond)
    }
  }
  await provider.shutdown()
  const of = (name: string): number[] => rates.get(name) ?? []
  const ratio = (name: string): number[] =>
    of(name).map((one, round) => one / (of(NONE)[round] ?? Number.NaN))
  return {
    figures: [
      figure(DEAF, 'rate, of that without', 'x', spread(ratio(DEAF))),
      figure(FULL, 'rate, of that without', 'x', spread(ratio(FULL))),
      ...[...rates].map(([name, found]) => figure(name, 'rate', 'jobs/s', spread(found))),
    ],
    charts: [{ what: 'rate', label: 'empty jobs a second, one thread' }],
    notes: [
      `${JOBS} empty jobs at once, ${ROUNDS} rounds in turn. A job makes two spans and three measurements; the SDK batches the spans and exports them nowhere.`,
    ],
  }
}

async function rate(isTraced: boolean): Promise<number> {
  await using runtime = createRuntime({
    ...{ tasks: [noop], pool: { threads: 1 } },
    ...(isTraced && { telemetry: openTelemetry() }),
  })
  await runtime.ready()
  collect()
  const began = performance.now()
  await Promise.all(Array.from({ length: JOBS }, () => runtime.enqueue(noop).settled))
  return (JOBS * 1000) / (performance.now() - began)
}
