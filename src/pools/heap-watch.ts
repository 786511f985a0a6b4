/**
 * Ends threads that outgrow their heap limit before V8 does. V8 ends a thread whose heap grows bit by bit, but the whole
 * process when a single allocation does not fit. So V8's own limit is set well above the one that was asked for, and the
 * heap is looked at from outside while jobs run. What needs more than that room at once still ends the process.
 */
import { Worker } from 'node:worker_threads'
import type { ReadPoolOptions } from '../rules/runtime-schemas.ts'
import type { Clock } from '../words/clock.ts'

type Limits = NonNullable<ReadPoolOptions['resourceLimits']>

/** What is read of a heap. */
export interface HeapFigures {
  readonly used_heap_size: number
}

/** A thread whose heap is looked at. */
export interface WatchedLane {
  readonly inFlight: { readonly size: number }
  readonly thread: { readonly heap?: () => Promise<HeapFigures>; terminate(why?: Error): void } | undefined
  onBusy: (() => void) | undefined
}

const MB = 2 ** 20
/** Room above the limit, in megabytes: as much as the limit, within these bounds. */
const LEAST_ROOM = 512
const MOST_ROOM = 1024
/** The heap for young objects that Node gives a thread unless it is told. */
const YOUNG = 48
const LOOK_EVERY = 10
/** Milliseconds over the limit after which it is no garbage that waits to be collected. */
const OVER_FOR = 60

/** V8's limits for a thread: those that were asked for, with room above. */
export function heapLimits(limits: Limits): Limits {
  const { maxOldGenerationSizeMb } = limits
  if (maxOldGenerationSizeMb === undefined || !canLook()) return limits
  return { ...limits, maxOldGenerationSizeMb: maxOldGenerationSizeMb + roomAbove(maxOldGenerationSizeMb) }
}

/** Whether this Node tells of the heap of a thread: from 22.16 and 24.0. */
function canLook(): boolean {
  return typeof Worker.prototype.getHeapStatistics === 'function'
}

function roomAbove(limit: number): number {
  return Math.min(Math.max(limit, LEAST_ROOM), MOST_ROOM)
}

/** Looks at the heaps of one pool's threads while they are busy. */
export class HeapWatch {
  readonly #clock: Clock
  readonly #limit: number
  readonly #soon: number
  /** When each of them was first seen over its limit. */
  readonly #lanes = new Map<WatchedLane, number | undefined>()
  #isLooking = false

  /** Returns undefined where there is nothing to watch. */
  static of(limits: Limits | undefined, clock: Clock): HeapWatch | undefined {
    const old = limits?.maxOldGenerationSizeMb
    if (old === undefined || !canLook()) return undefined
    return new HeapWatch(old, limits?.maxYoungGenerationSizeMb ?? YOUNG, clock)
  }

  private constructor(old: number, young: number, clock: Clock) {
    this.#clock = clock
    this.#limit = (old + young) * MB
    // Half of the room is used up: no time to see whether it is garbage.
    this.#soon = this.#limit + (roomAbove(old) / 2) * MB
  }

  /** A thread has come up. */
  follow(lane: WatchedLane): void {
    if (lane.thread?.heap === undefined) return
    this.#lanes.set(lane, undefined)
    lane.onBusy = () => this.#wake()
  }

  /** A thread is gone. */
  forget(lane: WatchedLane): void {
    this.#lanes.delete(lane)
  }

  #wake(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    this.#clock.timer(LOOK_EVERY, () => this.#look())
  }

  #look(): void {
    this.#isLooking = false
    for (const lane of this.#lanes.keys()) {
      if (lane.inFlight.size === 0) continue
      this.#wake()
      lane.thread?.heap?.().then(
        ({ used_heap_size }) => this.#judge(lane, used_heap_size),
        // It is ending, or has ended.
        () => {},
      )
    }
  }

  #judge(lane: WatchedLane, used: number): void {
    if (!this.#lanes.has(lane)) return
    if (used <= this.#limit) return void this.#lanes.set(lane, undefined)
    const now = this.#clock.now()
    const since = this.#lanes.get(lane) ?? now
    this.#lanes.set(lane, since)
    if (used <= this.#soon && now - since < OVER_FOR) return
    this.#lanes.delete(lane)
    const error = new Error(`The heap holds ${Math.round(used / MB)} MB, more than its limit.`)
    lane.thread?.terminate(Object.assign(error, { code: 'ERR_WORKER_OUT_OF_MEMORY' }))
  }
}
