/**
 * Paired slices. A machine's speed drifts by the minute, so two contestants are loaded in turn for a quarter of a
 * second each, alternating which goes first; only the ratio within a pair counts, and the median over the pairs.
 */
import { mainThreadCpu } from './cpu-time.ts'
import { collect } from './garbage.ts'
import type { Loaded, LoadMaker } from './load.ts'

/** A server under load, in this process. */
export interface Contestant {
  readonly name: string
  readonly port: number
  readonly path?: string
  /** Runs before each of its slices. */
  prepare?(): Promise<void>
  /** Resolves when nothing of its slice is left to do. */
  drained?(): Promise<void>
}

/** What one slice of a contestant gave. */
export interface Slice extends Loaded {
  /** Main-thread CPU microseconds a request, the work that was left at the slice's end included. */
  readonly cpu: number
  /** Milliseconds from the last response until nothing was left to do. */
  readonly catchUp: number
}

/** A slice of the one, a slice of the other. */
export interface Pair {
  readonly base: Slice
  readonly other: Slice
}

/** How many pairs, and how long a slice is in milliseconds. */
export interface PairOptions {
  readonly pairs?: number
  readonly milliseconds?: number
}

/** Loads two contestants in turn. */
export async function inPairs(
  load: LoadMaker,
  base: Contestant,
  other: Contestant,
  { pairs = 24, milliseconds = 250 }: PairOptions = {},
): Promise<Pair[]> {
  for (let round = 0; round < 3; round++) {
    await slice(load, base, milliseconds)
    await slice(load, other, milliseconds)
  }
  const found: Pair[] = []
  for (let index = 0; index < pairs; index++) {
    if (index % 2 === 0) {
      const first = await slice(load, base, milliseconds)
      found.push({ base: first, other: await slice(load, other, milliseconds) })
    } else {
      const first = await slice(load, other, milliseconds)
      found.push({ base: await slice(load, base, milliseconds), other: first })
    }
  }
  return found
}

async function slice(load: LoadMaker, contestant: Contestant, milliseconds: number): Promise<Slice> {
  await contestant.prepare?.()
  // The garbage of the slice before is not this one's to collect.
  collect({ type: 'minor' })
  const before = mainThreadCpu()
  const loaded = await load.run(contestant.port, milliseconds, contestant.path)
  await contestant.drained?.()
  const catchUp = performance.timeOrigin + performance.now() - loaded.endedAt
  return { ...loaded, catchUp, cpu: (mainThreadCpu() - before) / loaded.requests }
}

/** Resolves once a condition holds, looking every millisecond. */
export async function until(holds: () => boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const look = (): void => {
    if (holds()) resolve()
    else setTimeout(look, 1)
  }
  look()
  await promise
}
