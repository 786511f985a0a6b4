/** A runtime in numbers: its counters, and its gauges of this moment. */
import type { Engine } from './engine.ts'
import type { PoolMetrics, TaskMetrics } from './metrics.ts'
import { statsOf } from './stats.ts'

/** What `runtime.metrics()` returns: counters since the start of the runtime, and gauges of this moment. */
export interface RuntimeMetrics {
  /** When the runtime was created, in milliseconds since 1970. */
  readonly since: number
  readonly pending: number
  readonly maxPending: number
  /** By task name: every task of the runtime, also those that had no job. */
  readonly tasks: Readonly<Record<string, TaskMetrics>>
  readonly pools: Readonly<Record<string, PoolMetrics>>
  /** Calls that were refused, by the code of their error. */
  readonly refused: Readonly<Record<string, number>>
  /** How it stands with a broker where jobs outlive the process; absent with the memory broker. */
  readonly broker?: { readonly state: 'up' | 'down'; readonly buffered: number }
}

/** What `runtime.metrics()` returns. */
export function metricsOf(engine: Engine): RuntimeMetrics {
  const { metrics } = engine
  const { pending, maxPending, pools, broker } = statsOf(engine)
  const perPool = Object.entries(pools).map(([name, size]) => [name, { ...size, ...metrics.threadsOf(name) }])
  return {
    ...{ since: metrics.since, pending, maxPending, tasks: metrics.tasks, refused: metrics.refusals },
    pools: Object.fromEntries(perPool) as RuntimeMetrics['pools'],
    ...(broker && { broker: { state: broker.state, buffered: broker.buffered } }),
  }
}
