/** A runtime at one moment. */
import type { Engine } from './engine.ts'
import type { RuntimeStats } from './runtime-options.ts'

/** What `runtime.stats()` returns. */
export function statsOf(engine: Engine): RuntimeStats {
  const { options, metrics, rate, clock, pending, stopping, pools, broker } = engine
  const connection = broker.durability?.stats()
  const perPool = [...pools.byName].map(([name, pool]) => {
    const busy = [...pool.lanes].filter((lane) => lane.inFlight.size > 0).length
    return [name, { ...pool.size(), busy }] as const
  })
  return {
    pending: pending.count,
    maxPending: options.maxPending,
    pendingBytes: pending.bytes,
    maxPendingBytes: options.maxPendingBytes,
    ...metrics.ends,
    rate: rate.perSecond(clock.now()),
    phase: stopping.phase,
    ...(connection && { broker: connection }),
    pools: Object.fromEntries(perPool),
  }
}
