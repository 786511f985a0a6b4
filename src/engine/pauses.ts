/** What a process that starts no jobs keeps from the others. */
import type { Broker } from '../brokers/port/broker.ts'
import type { PoolSet } from './pool-set.ts'
import type { Scheduler } from './scheduler.ts'

/** Tells a broker that several processes share which pools start no jobs here: it leaves what has not begun to the others. */
export function tellPauses(parts: {
  readonly broker: Broker
  readonly pools: PoolSet
  readonly scheduler: Scheduler
}): void {
  const { broker, pools, scheduler } = parts
  if (broker.cluster === null) return
  for (const name of pools.byName.keys()) broker.cluster.paused(name, scheduler.isPaused(name))
}
