/** The way to a simulated thread: keeps the same rules as `pools/lane`, slot for slot. */
import type { Lane } from '../../src/pools/pool.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import type { Behaviour } from './plan.ts'
import { type FromThread, SimThread, type Slot, type Witness } from './sim-thread.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What a lane tells the pool that owns it. */
export interface SimLaneHost {
  outcome(lane: SimLane, slot: Slot, message: FromThread | undefined): void
  told(lane: SimLane, message: FromThread): void
  hasRoom(lane: SimLane): void
  settledSome(lane: SimLane): void
  retire(lane: SimLane): void
  broken(lane: SimLane, blame: number): void
  ended(lane: SimLane, exitCode: number, error: Error | undefined): void
}

/** Sees what goes to threads and what comes back from them untouched. */
export interface LaneWitness extends Witness {
  sent(lane: Lane, jobs: readonly JobRecord[]): void
  givenBack(job: JobRecord): void
}

/** What a lane is made from. */
export interface SimLaneParts {
  readonly id: number
  readonly concurrency: number
  readonly lifetime: number
  readonly clock: VirtualClock
  readonly latency: () => number
  readonly witness: LaneWitness
  readonly behaviourOf: (job: JobRecord) => Behaviour
  readonly host: SimLaneHost
}

/** Few, so that running out of them is part of the simulation. */
const SLOTS = 16

/** A lane over a simulated thread. */
export class SimLane implements Lane {
  readonly id: number
  readonly concurrency: number
  readonly inFlight = new Map<JobRecord, Slot>()
  readonly thread: SimThread
  done = 0
  retiring = false
  isKilled = false
  idleSince: number
  tellsStarts = false
  readonly #parts: SimLaneParts
  readonly #log: Slot[] = []
  readonly #outbox: FromThread[] = []
  #free = SLOTS
  #revoked = 0
  #arrivesAt = 0
  #culprit: JobRecord | undefined

  constructor(parts: SimLaneParts) {
    this.#parts = parts
    this.id = parts.id
    this.concurrency = parts.concurrency
    this.idleSince = parts.clock.now()
    this.thread = new SimThread({
      clock: parts.clock,
      witness: parts.witness,
      concurrency: parts.concurrency,
      latency: parts.latency,
      log: this.#log,
      tellsStarts: () => this.tellsStarts,
      post: (message) => this.#post(message),
      ended: (exitCode, error) => parts.host.ended(this, exitCode, error),
    })
  }

  room(): number {
    if (this.retiring) return 0
    const left = this.#parts.lifetime - this.done - this.inFlight.size
    const places =
      this.concurrency > 1 ? this.concurrency - this.inFlight.size : this.inFlight.size === 0 ? SLOTS >> 1 : 0
    return this.#revoked > 0 ? 0 : Math.max(0, Math.min(places, left, this.#free))
  }

  send(jobs: readonly JobRecord[]): void {
    if (jobs.length > this.room()) throw new RangeError('A lane was sent more jobs than it has room for.')
    this.#parts.witness.sent(this, jobs)
    const slots = jobs.map((job): Slot => {
      const slot: Slot = {
        job,
        attempt: job.attempts,
        behaviour: this.#parts.behaviourOf(job),
        state: 'sent',
        started: 0,
        ended: 0,
        isAborted: false,
        isOver: false,
        clearEnd: undefined,
      }
      this.#free--
      this.inFlight.set(job, slot)
      return slot
    })
    this.thread.receive({ kind: 'run', slots })
  }

  revoke(job: JobRecord): boolean {
    const slot = this.inFlight.get(job)
    if (slot?.state !== 'sent') return false
    slot.state = 'revoked'
    this.#revoked++
    this.inFlight.delete(job)
    this.#parts.witness.givenBack(job)
    return true
  }

  startedAt(job: JobRecord): number | undefined {
    const { state, started } = this.#slotOf(job)
    return state === 'running' || state === 'finished' ? started : undefined
  }

  abort(job: JobRecord): void {
    const slot = this.#slotOf(job)
    slot.isAborted = true
    this.thread.flagged(slot)
    this.thread.receive({ kind: 'abort', slot })
  }

  giveUp(job: JobRecord): void {
    this.thread.receive({ kind: 'give up', slot: this.#slotOf(job) })
  }

  collect(): void {
    if (this.#log.length === 0) return
    const done: Slot[] = []
    for (const slot of this.#log.splice(0)) {
      if (slot.state === 'revoked') {
        this.#free++
        this.#revoked--
      } else {
        this.inFlight.delete(slot.job)
        done.push(slot)
      }
    }
    this.done += done.length
    if (done.length > 1) this.#parts.host.hasRoom(this)
    for (const slot of done) {
      this.#free++
      this.#parts.host.outcome(this, slot, undefined)
    }
    this.#parts.host.settledSome(this)
  }

  drain(): void {
    this.collect()
  }

  kill(): void {
    this.retiring = true
    if (this.isKilled) return
    this.isKilled = true
    const { clock, latency } = this.#parts
    clock.at(clock.now() + latency(), () => this.thread.die(1, undefined))
  }

  retire(): void {
    if (this.retiring) return
    this.retiring = true
    this.#parts.host.retire(this)
  }

  /** Reads what the thread had still posted, and tells which jobs it left behind. */
  bury(): { unstarted: JobRecord[]; running: JobRecord[]; culprit: JobRecord | undefined } {
    for (let message = this.#outbox.shift(); message; message = this.#outbox.shift()) this.#receive(message)
    this.collect()
    const unstarted: JobRecord[] = []
    const running: JobRecord[] = []
    for (const [job, slot] of this.inFlight) (slot.state === 'sent' ? unstarted : running).push(job)
    this.inFlight.clear()
    for (const job of unstarted) this.#parts.witness.givenBack(job)
    return { unstarted, running, culprit: this.#culprit }
  }

  #post(message: FromThread): void {
    const { clock, latency } = this.#parts
    this.#outbox.push(message)
    this.#arrivesAt = Math.max(this.#arrivesAt, clock.now() + latency())
    clock.at(this.#arrivesAt, () => {
      const next = this.#outbox.shift()
      if (next !== undefined) this.#receive(next)
    })
  }

  #receive(message: FromThread): void {
    if (message.kind === 'bell') return this.collect()
    if (message.kind === 'retire') return this.#parts.host.broken(this, message.blame)
    if (message.kind === 'stray') return this.#parts.host.told(this, message)
    this.collect()
    const { slot } = message
    if (this.inFlight.get(slot.job) !== slot) return
    if (message.kind === 'exiting') this.#culprit = slot.job
    else if (message.kind === 'result' || message.kind === 'failed') {
      this.done++
      this.inFlight.delete(slot.job)
      this.#free++
      this.#parts.host.outcome(this, slot, message)
      this.#parts.host.settledSome(this)
    } else this.#parts.host.told(this, message)
  }

  #slotOf(job: JobRecord): Slot {
    const slot = this.inFlight.get(job)
    if (slot === undefined) throw new Error(`Job ${job.seq} is not with thread ${this.id}.`)
    return slot
  }
}
