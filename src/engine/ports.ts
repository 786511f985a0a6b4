/** What the engine takes from outside: time, chance and threads. Production has one set; tests and the simulation bring their own. */
import { PiscinaSource } from '../pools/piscina.ts'
import type { Pool } from '../pools/pool.ts'
import { ThreadPool } from '../pools/thread-pool.ts'
import type { ReadPoolOptions } from '../rules/option-schemas.ts'
import type { HandlerLocation } from '../rules/protocol.ts'
import { type Clock, systemClock } from '../words/clock.ts'

/** What a pool is made from. */
export interface PoolParts {
  readonly name: string
  readonly options: ReadPoolOptions
  /** Handlers by task number; null for the tasks of other pools. */
  readonly handlers: readonly (HandlerLocation | null)[]
  readonly idPrefix: string
  readonly clock: Clock
}

/** The ports of an engine. */
export interface Ports {
  readonly clock: Clock
  /** A number in [0, 1): for backoff and ids. */
  readonly random: () => number
  makePool(parts: PoolParts): Pool
}

/** Real time, real chance, real threads. */
export const realPorts: Ports = {
  clock: systemClock,
  random: Math.random,
  makePool: ({ name, options, handlers, idPrefix, clock }) =>
    new ThreadPool(name, options, handlers, new PiscinaSource(options), idPrefix, clock),
}
