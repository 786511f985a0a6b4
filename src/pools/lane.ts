/** The event loop's side of one thread: slots, the shared table, and the port. `rules/protocol` says how they work. */
// long because: it is one side of the table and of the port, and each of their words is answered here
import { performance } from 'node:perf_hooks'
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { type Encoded, Snapshot } from '../rules/codec.ts'
import type { JobContext, JobExtras, JobRecord } from '../rules/job-record.ts'
import { tailMessages, tailOf } from '../rules/log-tail.ts'
import { Moved } from '../rules/moved.ts'
import {
  ASKED,
  FINISHED,
  FROM_THREAD,
  HEAP_MB,
  type LaneTable,
  LEASE_LOST,
  LOG_COUNT,
  NO_RESULT,
  NOT_ASKED,
  RESULT_BYTES,
  REVOKED,
  RUNNING,
  SENT,
  SLOTS,
  TELL_STARTS,
  TO_THREAD,
  widened,
} from '../rules/protocol.ts'
import type { WireError } from '../rules/wire-error.ts'
import type { HeapFigures } from './heap-watch.ts'
import { InFlight } from './in-flight.ts'
import type { Failure, Lane, PoolHost, ThreadLine } from './pool.ts'

/** What a lane tells the pool that owns it. */
export interface LaneHost {
  completed(lane: ThreadLane, job: JobRecord, result: Encoded | Moved, started: number, ended: number): void
  failed(lane: ThreadLane, job: JobRecord, failure: Failure, started: number, ended: number): void
  enqueue(lane: ThreadLane, job: JobRecord, message: readonly unknown[]): void
  stray(lane: ThreadLane, id: string, error: WireError, tasks: readonly string[]): void
  /** An attempt has failed since an import had failed in the thread. */
  stale(lane: ThreadLane): void
  /** The thread loads a file, by its URL. */
  loaded(url: string): void
  /** The lane has room, and outcomes that are not told yet. */
  hasRoom(lane: ThreadLane): void
  /** Outcomes were told: the lane may have room. */
  settledSome(lane: ThreadLane): void
  /** The lane is to be replaced once it is empty. */
  retire(lane: ThreadLane): void
  /** The thread itself asks to be replaced. `blame`: the number of the task that is to blame, NOBODY or OURS. */
  broken(lane: ThreadLane, blame: number): void
  /** The thread was told to end at once. */
  killed(lane: ThreadLane): void
}

/** What a lane tells the engine without the pool's help. */
export type LaneReports = Pick<PoolHost, 'started' | 'progress' | 'log' | 'spent'>

/** The end of a thread, in the hands of whoever started it. */
export interface ThreadHandle {
  readonly threadId: number
  /** Ends it at once; `why` is told as what brought it down. */
  terminate(why?: Error): void
  /** How long its loop was idle and active; missing where nobody can tell. */
  readonly loopTimes?: () => { readonly idle: number; readonly active: number }
  /** How full its heap is; missing where Node does not tell. */
  readonly heap?: () => Promise<HeapFigures>
}

/** A lane over a MessagePort and a table in shared memory. */
export class ThreadLane implements Lane {
  readonly id: number
  readonly concurrency: number
  /** The jobs that are with the thread. */
  readonly inFlight = new InFlight(SLOTS)
  /** Attempts that ended here, for recycling. */
  done = 0
  retiring = false
  /** True once the thread itself has asked to be replaced: it starts nothing any more. */
  isBroken = false
  isKilled = false
  idleSince: number
  thread: ThreadHandle | undefined
  /** Called when it becomes busy, where somebody asks for that. */
  onBusy: (() => void) | undefined
  readonly #port: MessagePort
  readonly #table: LaneTable
  readonly #host: LaneHost
  readonly #reports: LaneReports
  readonly #free: number[] = Array.from({ length: SLOTS }, (_, index) => SLOTS - 1 - index)
  #read = 0
  /** Slots of jobs that were taken back, which the thread has not passed over yet. */
  #revoked = 0
  /** The job that has ended the thread, or has cost it: an error of it escaped, and was charged to it. */
  #culprit: JobRecord | undefined
  /** The number of the task that has cost the thread; NOBODY or OURS where it was no task. */
  #blamed: number | undefined
  #closed: PromiseWithResolvers<void> | undefined

  readonly #lifetime: number
  readonly #measuresCpu: boolean

  /** `lifetime`: attempts after which the thread is to be replaced. `measuresCpu`: jobs are told where they ran, and for how long. */
  constructor(
    id: number,
    options: {
      readonly concurrency: number
      readonly lifetime: number
      readonly measuresCpu: boolean
      readonly now: number
    },
    port: MessagePort,
    table: LaneTable,
    host: LaneHost,
    reports: LaneReports,
  ) {
    this.id = id
    this.concurrency = options.concurrency
    this.#lifetime = options.lifetime
    this.#measuresCpu = options.measuresCpu
    // A thread whose Node does not tell it leaves this as it is.
    if (this.#measuresCpu) table.cpu.fill(Number.NaN)
    this.idleSince = options.now
    this.#port = port
    this.#table = table
    this.#host = host
    this.#reports = reports
    port.on('message', (message: number | readonly unknown[]) => this.#receive(message))
    // What keeps the process alive is that jobs are unfinished, not that a thread has one: the engine sees to it.
    port.unref()
  }

  get heapMb(): number {
    return this.#table.header[HEAP_MB] ?? 0
  }

  /** Asks the thread to tell each start at once, for those who listen to `job:started`. */
  tellStarts(tell: boolean): void {
    Atomics.store(this.#table.header, TELL_STARTS, tell ? 1 : 0)
  }

  room(): number {
    if (this.retiring) return 0
    const left = this.#lifetime - this.done - this.inFlight.size
    // One job at a time: the next bundle goes out when the last is done. Many at once: each free place is filled.
    const places =
      this.concurrency > 1 ? this.concurrency - this.inFlight.size : this.inFlight.size === 0 ? SLOTS >> 1 : 0
    // A thread that has not passed over the jobs that were taken back does not take up others either.
    return this.#revoked > 0 ? 0 : Math.max(0, Math.min(places, left, this.#free.length))
  }

  send(jobs: readonly JobRecord[]): void {
    if (this.onBusy !== undefined) this.onBusy()
    let message: unknown[] = [TO_THREAD.run]
    let isBare = true
    let transfer: ArrayBuffer[] | undefined
    for (const job of jobs) {
      const slot = this.#enter(job)
      const { payload, extras } = job
      if (isBare && (payload !== undefined || needsMore(extras))) {
        isBare = false
        message = [TO_THREAD.runWith, ...widened(message.slice(1))]
      }
      if (isBare) message.push(slot)
      else if (payload instanceof Moved) {
        transfer = [...(transfer ?? []), ...payload.transfer]
        message.push(slot, [payload.encoded, ...payload.buffers], contextOf(extras), extras?.id)
      } else {
        const posted = payload instanceof Snapshot ? payload.lists : payload
        message.push(slot, posted, contextOf(extras), extras?.id)
      }
    }
    if (isBare && message.length === 2) this.#port.postMessage(message[1])
    else if (transfer === undefined) this.#port.postMessage(message)
    else this.#port.postMessage(message, transfer)
  }

  /** Gives a job a slot and writes there what the thread needs to know of it. */
  #enter(job: JobRecord): number {
    const slot = this.#free.pop()
    if (slot === undefined) throw new RangeError('A lane was sent more jobs than it has slots.')
    const table = this.#table
    this.inFlight.put(slot, job)
    table.task[slot] = job.entry.index
    table.attempt[slot] = job.attempts
    table.number[slot] = job.seq
    table.aborted[slot] = NOT_ASKED
    // No need of Atomics: the thread hears of the slot through the message, which comes after.
    table.state[slot] = SENT
    return slot
  }

  revoke(job: JobRecord): boolean {
    const slot = this.inFlight.slotOf(job)
    if (slot === -1) return false
    if (Atomics.compareExchange(this.#table.state, slot, SENT, REVOKED) !== SENT) return false
    // The thread still holds the slot's number in its queue: the slot is free again once it has passed over it.
    this.#revoked++
    this.inFlight.empty(slot)
    return true
  }

  startedAt(job: JobRecord): number | undefined {
    const slot = this.inFlight.slotOf(job)
    if (slot === -1) return undefined
    const state = Atomics.load(this.#table.state, slot)
    return state === RUNNING || state === FINISHED ? this.#startedIn(slot) : undefined
  }

  abort(job: JobRecord, reason: string, isLeaseLost: boolean): void {
    const slot = this.inFlight.slotOf(job)
    Atomics.store(this.#table.aborted, slot, isLeaseLost ? LEASE_LOST : ASKED)
    this.#port.postMessage([TO_THREAD.abort, slot, reason])
  }

  giveUp(job: JobRecord): void {
    this.#port.postMessage([TO_THREAD.giveUp, this.inFlight.slotOf(job)])
  }

  collect(): void {
    const count = Atomics.load(this.#table.header, LOG_COUNT)
    if (count === this.#read) return
    const begun = performance.now()
    const done: JobRecord[] = []
    const slots: number[] = []
    while (this.#read !== count) {
      const slot = this.#table.log[this.#read & (SLOTS - 1)] as number
      this.#read = (this.#read + 1) | 0
      const job = this.inFlight.at(slot)
      if (job === null) {
        this.#free.push(slot)
        this.#revoked--
      } else {
        this.inFlight.empty(slot)
        done.push(job)
        slots.push(slot)
      }
    }
    this.done += done.length
    // The thread gets its next bundle before the outcomes of the last are worked off, so that both sides work at once.
    // Half of the slots are enough for a bundle; the others still hold the outcomes.
    if (done.length > 1) this.#host.hasRoom(this)
    for (const [index, job] of done.entries()) this.#settle(job, slots[index] as number)
    this.#host.settledSome(this)
    this.#reports.spent(performance.now() - begun)
  }

  loopTimes(): { readonly idle: number; readonly active: number } | undefined {
    return this.thread?.loopTimes?.()
  }

  kill(): void {
    this.retiring = true
    if (this.isKilled) return
    this.isKilled = true
    this.thread?.terminate()
    this.#host.killed(this)
  }

  retire(): void {
    if (this.retiring) return
    this.retiring = true
    this.#host.retire(this)
  }

  drain(): void {
    for (let entry = receiveMessageOnPort(this.#port); entry; entry = receiveMessageOnPort(this.#port)) {
      this.#receive(entry.message)
    }
    this.collect()
  }

  /** Reads whatever the thread had still posted when it died, and tells which jobs it left behind. The lane retires before. */
  bury(): { unstarted: JobRecord[]; running: JobRecord[]; culprit: JobRecord | undefined } {
    this.drain()
    this.#port.close()
    this.#closed?.resolve()
    const unstarted: JobRecord[] = []
    const running: JobRecord[] = []
    this.#tellTails()
    for (const job of this.inFlight.keys()) {
      const wasSent = Atomics.load(this.#table.state, this.inFlight.slotOf(job)) === SENT
      ;(wasSent ? unstarted : running).push(job)
      if (!wasSent) this.#note(job, Number.NaN)
    }
    this.inFlight.clear()
    return { unstarted, running, culprit: this.#culprit }
  }

  /** What attempts said last that were running, beyond what they posted: it is in memory that the thread has left. */
  #tellTails(): void {
    for (const job of this.inFlight.keys()) {
      const slot = this.inFlight.slotOf(job)
      if (Atomics.load(this.#table.state, slot) !== RUNNING) continue
      const { lines, dropped } = tailOf(this.#table.tail, slot)
      for (const message of tailMessages(lines, dropped))
        this.#reports.log(job, lineOf([0, slot, ...message]))
    }
  }

  /** Lets the thread write out its last lines. Resolves when it has, or when it is gone. */
  async close(): Promise<void> {
    this.retiring = true
    if (this.#closed === undefined) {
      this.#closed = Promise.withResolvers<void>()
      this.#port.postMessage([TO_THREAD.close])
    }
    await this.#closed.promise
  }

  /** Answers a handler's `ctx.enqueue`. */
  reply(message: readonly unknown[]): void {
    this.#port.postMessage(message)
  }

  #receive(message: number | readonly unknown[]): void {
    if (typeof message === 'number') return this.collect()
    const kind = message[0]
    if (kind === FROM_THREAD.closed) return this.#closed?.resolve()
    if (kind === FROM_THREAD.stray) {
      const [, id, error, tasks] = message as [number, string, WireError, readonly string[]]
      return this.#host.stray(this, id, error, tasks)
    }
    if (kind === FROM_THREAD.stale) return this.#host.stale(this)
    if (kind === FROM_THREAD.loaded) return this.#host.loaded(message[1] as string)
    if (kind === FROM_THREAD.retire) return this.#broke(message[1] as number)
    // Outcomes in the log came before this message.
    this.collect()
    const slot = message[1] as number
    const job = this.inFlight.at(slot)
    if (job === null) return
    switch (kind) {
      case FROM_THREAD.result:
        return this.#settlePosted(job, slot, message[2] as Encoded)
      case FROM_THREAD.moved:
        return this.#settlePosted(job, slot, new Moved(message[2] as Uint8Array, message[3] as ArrayBuffer[]))
      case FROM_THREAD.failed:
        return this.#settleFailed(job, slot, message[2] as WireError, message[3] !== NOT_ASKED)
      case FROM_THREAD.started:
        return this.#reports.started(job)
      case FROM_THREAD.progress:
        return this.#reports.progress(job, message[2] as Encoded)
      case FROM_THREAD.log:
        return this.#reports.log(job, lineOf(message))
      case FROM_THREAD.enqueue:
        return this.#host.enqueue(this, job, message)
      case FROM_THREAD.exiting:
        this.#culprit = job
    }
  }

  #broke(blame: number): void {
    this.isBroken = true
    this.#blamed = blame
    this.#host.broken(this, blame)
  }

  /** Tells an outcome that the table holds; only then is the slot free. */
  #settle(job: JobRecord, slot: number): void {
    const length = this.#table.resultLength[slot] as number
    const at = slot * RESULT_BYTES
    const result = length === NO_RESULT ? undefined : this.#table.results.toString('utf8', at, at + length)
    const started = this.#startedIn(slot)
    const ended = this.#endedIn(slot)
    if (this.#measuresCpu) this.#note(job, this.#table.cpu[slot] as number)
    this.#free.push(slot)
    this.#host.completed(this, job, result, started, ended)
  }

  #settlePosted(job: JobRecord, slot: number, result: Encoded | Moved): void {
    if (this.#measuresCpu) this.#note(job, this.#table.cpu[slot] as number)
    this.#release(slot)
    this.#host.completed(this, job, result, this.#startedIn(slot), this.#endedIn(slot))
    this.#host.settledSome(this)
  }

  #settleFailed(job: JobRecord, slot: number, error: WireError, wasAsked: boolean): void {
    this.#note(job, this.#measuresCpu ? (this.#table.cpu[slot] as number) : Number.NaN)
    this.#release(slot)
    const times = [this.#startedIn(slot), this.#endedIn(slot)] as const
    if (job.entry.index === this.#blamed) this.#culprit ??= job
    this.#host.failed(this, job, { error, wasAsked }, ...times)
    this.#host.settledSome(this)
  }

  /** Where an attempt ran, and the CPU time that it took: NaN where nobody can tell. */
  #note(job: JobRecord, cpu: number): void {
    const { more } = job
    more.thread = this.id
    more.cpu = Number.isNaN(cpu) ? undefined : cpu
  }

  #startedIn(slot: number): number {
    return this.#table.started[slot] as number
  }

  #endedIn(slot: number): number {
    return this.#table.ended[slot] as number
  }

  #release(slot: number): void {
    this.done++
    this.inFlight.empty(slot)
    this.#free.push(slot)
  }
}

/** A line as it was posted. */
function lineOf([, , level, message, data, at, from = 'log', dropped]: readonly unknown[]): ThreadLine {
  return { level, message, data, at, from, dropped } as ThreadLine
}

/** True when the table does not tell all that a thread is to know of a job. */
function needsMore(extras: JobExtras | null): boolean {
  return extras !== null && (contextOf(extras) !== undefined || extras.id !== undefined)
}

function contextOf(extras: JobExtras | null): JobContext | undefined {
  return extras?.sentContext ?? extras?.context
}
