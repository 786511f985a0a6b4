/** The pools of a runtime: made from its options, and searched by what runs in them. */
import type { Broker } from '../brokers/port/broker.ts'
import type { Lane, Pool, PoolHost, PoolParts } from '../pools/pool.ts'
import { heapFlag } from '../pools/surroundings.ts'
import { refusal } from '../rules/arguments.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { TaskEntry } from '../rules/registry.ts'
import type { ReadPoolOptions } from '../rules/runtime-schemas.ts'
import { describeValue, type HandlerProblem, OptionsInvalidError } from '../words/errors.ts'
import type { Ports } from './ports.ts'

/** All pools of a runtime by name. */
export class PoolSet {
  readonly byName = new Map<string, Pool>()
  readonly #settings: Readonly<Record<string, ReadPoolOptions>>

  /** @throws OptionsInvalidError when a task asks for a pool that is not there. */
  constructor(
    settings: Readonly<Record<string, ReadPoolOptions>>,
    entries: readonly TaskEntry[],
    { idPrefix, onLoaded, printed, sizes }: Pick<PoolParts, 'idPrefix' | 'onLoaded' | 'printed' | 'sizes'>,
    { makePool, clock }: Ports,
    { attempts, cluster, tracer }: Pick<Broker, 'attempts' | 'cluster'> & { tracer: string | undefined },
    say: (line: string) => void,
  ) {
    this.#settings = settings
    for (const { task } of entries) {
      if (Object.hasOwn(settings, task.policy.pool)) continue
      const known = Object.keys(settings).join(', ')
      throw new OptionsInvalidError(
        `Task "${task.name}" asks for pool "${task.policy.pool}", which is not there. Known: ${known}. Add it to createRuntime({ pools }).`,
        'pools',
      )
    }
    const flag = heapFlag(process)
    for (const [name, options] of Object.entries(settings)) {
      const handlers = entries.map(({ task }) =>
        task.policy.pool === name ? { task: task.name, ...task.handler } : null,
      )
      // A pool without tasks would be threads for nothing.
      if (handlers.every((handler) => handler === null)) continue
      if (cluster?.runs(name) === false) continue
      const limit = options.resourceLimits?.maxOldGenerationSizeMb
      if (limit !== undefined && flag !== undefined)
        say(
          `the heap limit of pool "${name}" (${limit} MB) may not hold: ${flag} applies to every thread of the process`,
        )
      const measuresCpu = attempts.keepsHistory
      const made = { name, options, handlers, idPrefix, clock, measuresCpu, onLoaded, printed, sizes, tracer }
      this.byName.set(name, makePool(made))
    }
  }

  /** @throws OptionsInvalidError when a call names a pool that is not there. */
  expectKnown(pool: string | undefined, call: string): void {
    const known = Object.keys(this.#settings)
    if (pool === undefined || known.includes(pool)) return
    if (typeof pool !== 'string') throw refusal(call, 'the pool', pool, 'the name of a pool')
    const names = `Known: ${known.join(', ')}.`
    throw new OptionsInvalidError(`${call}: no pool is named ${describeValue(pool)}. ${names}`, 'pool')
  }

  /** Jobs that a pool can run at once, when all its threads are up. */
  slots(name: string): number {
    const size = this.byName.get(name)?.size()
    return size === undefined ? 0 : size.max * (this.#settings[name]?.concurrency ?? 1)
  }

  start(host: PoolHost): void {
    for (const pool of this.byName.values()) pool.start(host)
  }

  /** Resolves once every pool has imported its handlers, to what is wrong with those that it could not import. */
  async ready(): Promise<HandlerProblem[]> {
    return (await Promise.all([...this.byName.values()].map((pool) => pool.ready()))).flat()
  }

  /** Replaces the threads of every pool; resolves as `ready` does. */
  async reload(): Promise<HandlerProblem[]> {
    const pools = [...this.byName.values()]
    return (await Promise.all(pools.map((pool) => pool.reload?.() ?? []))).flat()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.byName.values()].map((pool) => pool.stop()))
  }

  /** Past the deadline of a stop: threads that do not end are given up sooner. */
  hurry(): void {
    for (const pool of this.byName.values()) pool.hurry?.()
  }

  /** True when a thread sits in native code and did not end: `process.exit()` would wait for it. */
  get hasStuckThread(): boolean {
    return [...this.byName.values()].some((pool) => pool.hasStuckThread === true)
  }

  /** Tells the threads whether starts are to be told at once. */
  tellStarts(tell: boolean): void {
    for (const pool of this.byName.values()) pool.tellStarts(tell)
  }

  *lanes(): Iterable<Lane> {
    for (const pool of this.byName.values()) yield* pool.lanes
  }

  /** The lane that has the job. */
  laneOf(job: JobRecord): Lane | undefined {
    for (const lane of this.lanes()) if (lane.inFlight.has(job)) return lane
    return undefined
  }

  /** The pool that a lane belongs to. */
  poolOf(lane: Lane): Pool | undefined {
    return [...this.byName.values()].find(({ lanes }) => lanes.has(lane))
  }

  /** True while a thread has a job. */
  get isBusy(): boolean {
    for (const lane of this.lanes()) if (lane.inFlight.size > 0) return true
    return false
  }
}
