/** A simulated thread: what `workers/job-runner` does, in virtual time, with handlers that behave as the plan says. */
import type { JobRecord } from '../../src/rules/job-record.ts'
import { OURS } from '../../src/rules/protocol.ts'
import type { Behaviour } from './plan.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** A job's place in the table that thread and event loop share. */
export interface Slot {
  readonly job: JobRecord
  readonly attempt: number
  readonly behaviour: Behaviour
  state: 'sent' | 'running' | 'finished' | 'revoked'
  started: number
  ended: number
  /** The word that the event loop sets and a handler can read at any time. */
  isAborted: boolean
  isOver: boolean
  clearEnd: (() => void) | undefined
}

/** Messages from the thread. */
export type FromThread =
  | { readonly kind: 'bell' }
  | { readonly kind: 'retire'; readonly blame: number }
  | {
      readonly kind: 'result' | 'started' | 'exiting' | 'progress' | 'stray' | 'enqueue'
      readonly slot: Slot
    }
  | {
      readonly kind: 'failed'
      readonly slot: Slot
      readonly message: string
      readonly unrecoverable: boolean
      readonly wasAsked: boolean
    }

/** Messages to the thread. */
export type ToThread =
  | { readonly kind: 'run'; readonly slots: readonly Slot[] }
  | { readonly kind: 'abort' | 'give up'; readonly slot: Slot }

/** Sees what really happens in threads: the model's eyes. */
export interface Witness {
  handlerStarts(job: JobRecord, attempt: number): void
  handlerStops(job: JobRecord, how: HandlerEnd): void
}

/** How a handler came to its end. */
export type HandlerEnd = 'returned' | 'failed' | 'given up' | 'died'

/** What the thread's surroundings give it. */
export interface ThreadParts {
  readonly clock: VirtualClock
  readonly witness: Witness
  readonly concurrency: number
  /** Milliseconds that a message travels. */
  readonly latency: () => number
  readonly log: Slot[]
  readonly tellsStarts: () => boolean
  readonly post: (message: FromThread) => void
  readonly ended: (exitCode: number, error: Error | undefined) => void
}

// A handler looks at its signal every so often.
const NOTICES_AFTER = 0.7

/** One thread. */
export class SimThread {
  readonly #parts: ThreadParts
  readonly #active = new Set<Slot>()
  readonly #queue: Slot[] = []
  /** What its loop has to do once it turns. */
  readonly #loop: (() => void)[] = []
  /** The handler that does not let the loop turn. */
  #blocking: Slot | undefined
  #arrivesAt = 0
  #untold = false
  #isRetiring = false
  isDead = false

  constructor(parts: ThreadParts) {
    this.#parts = parts
  }

  receive(message: ToThread): void {
    const { clock, latency } = this.#parts
    this.#arrivesAt = Math.max(this.#arrivesAt, clock.now() + latency())
    clock.at(this.#arrivesAt, () => this.#onLoop(() => this.#handle(message)))
  }

  /** The shared word was set: a handler that polls its signal sees it although the loop stands still. */
  flagged(slot: Slot): void {
    if (slot === this.#blocking) this.#notice(slot)
  }

  /** The thread ends, now or at once. */
  die(exitCode: number, error: Error | undefined): void {
    if (this.isDead) return
    this.isDead = true
    for (const slot of this.#active) {
      slot.clearEnd?.()
      this.#parts.witness.handlerStops(slot.job, 'died')
    }
    const { clock, latency, ended } = this.#parts
    clock.at(clock.now() + latency(), () => ended(exitCode, error))
  }

  #onLoop(task: () => void): void {
    this.#loop.push(task)
    this.#turn()
  }

  #turn(): void {
    while (this.#blocking === undefined && !this.isDead) {
      const task = this.#loop.shift()
      if (task === undefined) break
      task()
    }
    if (this.isDead || this.#blocking !== undefined || !this.#untold) return
    this.#untold = false
    this.#parts.post({ kind: 'bell' })
  }

  #handle(message: ToThread): void {
    if (message.kind === 'run') {
      this.#queue.push(...message.slots)
      this.#run()
    } else if (this.#active.has(message.slot)) {
      if (message.kind === 'abort') this.#notice(message.slot)
      else {
        this.#retire(OURS)
        this.#fail(message.slot, 'The handler did not end when its signal aborted.', 'given up')
      }
    }
  }

  #run(): void {
    const { concurrency, log } = this.#parts
    while (!(this.isDead || this.#isRetiring || this.#blocking) && this.#active.size < concurrency) {
      const slot = this.#queue.shift()
      if (slot === undefined) break
      if (slot.state === 'revoked') {
        log.push(slot)
        this.#untold = true
      } else this.#start(slot)
    }
  }

  #start(slot: Slot): void {
    const { clock, witness, post, tellsStarts } = this.#parts
    const { blocks, ms, adds } = slot.behaviour
    slot.state = 'running'
    slot.started = clock.now()
    this.#active.add(slot)
    witness.handlerStarts(slot.job, slot.attempt)
    if (tellsStarts()) post({ kind: 'started', slot })
    if (adds !== undefined) post({ kind: 'enqueue', slot })
    if (ms > 5) post({ kind: 'progress', slot })
    if (blocks && ms === 0) return this.#end(slot, slot.behaviour.ends)
    if (blocks) this.#blocking = slot
    this.#endAt(slot, clock.now() + ms, slot.behaviour.ends)
    if (slot.isAborted) this.#notice(slot)
  }

  #notice(slot: Slot): void {
    const { onAbort } = slot.behaviour
    if (onAbort === 'ignores') return
    this.#endAt(slot, this.#parts.clock.now() + NOTICES_AFTER, onAbort)
  }

  #endAt(slot: Slot, moment: number, ends: Behaviour['ends']): void {
    slot.clearEnd?.()
    slot.clearEnd = this.#parts.clock.at(moment, () => {
      if (slot === this.#blocking) {
        this.#blocking = undefined
        this.#end(slot, ends)
        this.#run()
        this.#turn()
      } else {
        this.#onLoop(() => {
          if (!slot.isOver) this.#end(slot, ends)
          this.#run()
        })
      }
    })
  }

  #end(slot: Slot, ends: Behaviour['ends']): void {
    if (this.isDead) return
    const { post } = this.#parts
    if (ends === 'throws') return this.#fail(slot, 'The handler threw.', 'failed')
    if (ends === 'gives up') return this.#fail(slot, 'The handler gave up.', 'failed', true)
    if (ends === 'dies') return this.die(134, undefined)
    if (ends === 'exits') {
      post({ kind: 'exiting', slot })
      return this.die(3, undefined)
    }
    this.#complete(slot, ends === 'returns much')
    if (ends !== 'strays') return
    post({ kind: 'stray', slot })
    this.#retire(slot.job.entry.index)
  }

  #complete(slot: Slot, isPosted: boolean): void {
    this.#leave(slot)
    this.#parts.witness.handlerStops(slot.job, 'returned')
    if (isPosted) return this.#parts.post({ kind: 'result', slot })
    slot.state = 'finished'
    this.#parts.log.push(slot)
    this.#untold = true
  }

  #fail(slot: Slot, message: string, how: HandlerEnd, unrecoverable = false): void {
    this.#leave(slot)
    this.#parts.witness.handlerStops(slot.job, how)
    this.#parts.post({ kind: 'failed', slot, message, unrecoverable, wasAsked: slot.isAborted })
  }

  #leave(slot: Slot): void {
    slot.clearEnd?.()
    slot.isOver = true
    slot.ended = this.#parts.clock.now()
    this.#active.delete(slot)
  }

  #retire(blame: number): void {
    if (this.#isRetiring) return
    this.#isRetiring = true
    this.#parts.post({ kind: 'retire', blame })
  }
}
