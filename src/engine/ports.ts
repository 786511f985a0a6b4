/** What the engine takes from outside: time, chance and threads. Production has one set; tests and the simulation bring their own. */
import { PiscinaSource } from '../pools/piscina.ts'
import type { Pool, PoolParts } from '../pools/pool.ts'
import { ThreadPool } from '../pools/thread-pool.ts'
import { type Clock, systemClock } from '../words/clock.ts'

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
  makePool: (parts) => new ThreadPool(parts, new PiscinaSource(parts.options)),
}
