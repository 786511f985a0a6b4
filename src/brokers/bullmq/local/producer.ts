/**
 * Writes what was accepted: in the order in which it came, many at a time, and again until the store has it. A job whose
 * response is not over is written when somebody wants it to be safe: as a job that is due much later, which is put off
 * again and again for as long as this process lives. Should the process die, another one runs the job.
 */
import type { JobRecord } from '../../../rules/job-record.ts'
import type { Clock } from '../../../words/clock.ts'
import { isTerminal } from '../../../words/job.ts'
import { type Retries, within } from '../../lifecycle/retries.ts'
import { queueOfJob } from '../queues.ts'
import { toData, toNewJob } from '../store/job-data.ts'
import type { SharedStore } from '../store/shared-store.ts'
import type { NewJob } from '../store/stored-job.ts'
import type { LocalJobs } from './local-jobs.ts'

// How long a held job lies in the store before another process takes it up.
const HOLD = 60_000
// A store that keeps the order takes small parts, and works on one while the next is made.
const PART = 25
const PARTS_AT_ONCE = 32
const MOST_AT_ONCE = 1000

/** How a job is written: as one that may run, as one whose response is not over, or as one that was held until now. */
type Step = 'add' | 'hold' | 'release'
type Written = readonly [job: JobRecord, step: Step]

/** What the producer is made of. */
export interface ProducerParts {
  readonly store: SharedStore
  readonly retries: Retries
  readonly clock: Clock
  readonly local: LocalJobs
}

/** Takes accepted jobs to the store. */
export class Producer {
  readonly #parts: ProducerParts
  /** A job that knows of no lock is to join that of a later one, before it. */
  readonly #before = new WeakMap<JobRecord, JobRecord>()
  /** In the order in which they came. */
  readonly #buffer = new Map<JobRecord, Step>()
  #isWriting = false
  #isSet = false
  #isOpen = false
  #isClosed = false
  #writing = 0
  #idle: PromiseWithResolvers<void> | undefined
  #stopTimer: (() => void) | undefined

  constructor(parts: ProducerParts) {
    this.#parts = parts
  }

  /** Jobs that the store does not have yet. */
  get size(): number {
    return this.#buffer.size + this.#writing
  }

  /** The store can be written to. */
  open(): void {
    this.#isOpen = true
    this.#flushSoon()
  }

  close(): void {
    this.#isClosed = true
    this.#stopTimer?.()
  }

  /** Takes a job that may run. */
  add(job: JobRecord): void {
    this.#parts.local.buffered(job)
    this.#take(job, 'add')
  }

  /** Takes a job whose response is not over, since somebody wants it to be safe already. */
  hold(job: JobRecord): void {
    this.#parts.local.buffered(job)
    this.#take(job, 'hold')
    this.#arm()
  }

  /** A held job that the store has, or soon will, may run: after all that was accepted before it. */
  release(job: JobRecord): void {
    this.#take(job, 'release')
  }

  #take(job: JobRecord, step: Step): void {
    // One that was to be held takes its place anew as it is released: those of its batch before it come first.
    this.#buffer.delete(job)
    this.#buffer.set(job, step)
    this.#flushSoon()
  }

  /** A job that knows of no lock is to join the other's, before it. */
  enterFirst(job: JobRecord, before: JobRecord): void {
    this.#before.set(job, before)
  }

  /** Takes a job back that is not being written yet. */
  takeBack(job: JobRecord): void {
    this.#buffer.delete(job)
  }

  /** Waits until all is written, but not longer than so many milliseconds. */
  async settle(most: number): Promise<void> {
    if (this.size === 0) return
    this.#idle ??= Promise.withResolvers()
    await within(this.#parts.clock, most, this.#idle.promise)
  }

  /** Held jobs in the store are put off for as long as this process lives. */
  #arm(): void {
    const { clock, local, store } = this.#parts
    this.#stopTimer ??= clock.timer(HOLD / 3, () => {
      this.#stopTimer = undefined
      const held = [...local.heldInStore()]
      // After a fault there are two more times until another process takes it up.
      for (const job of held) store.hold(queueOfJob(job), local.idOf(job), holdOf(job)).catch(() => {})
      if (held.length > 0 || this.size > 0) this.#arm()
    })
  }

  #flushSoon(): void {
    if (this.#isSet || this.#isWriting || !this.#isOpen || this.#buffer.size === 0) return
    this.#isSet = true
    this.#parts.clock.soon(() => {
      this.#isSet = false
      void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    const { isOrdered } = this.#parts.store
    const underWay = new Set<Promise<void>>()
    this.#isWriting = true
    while (this.#buffer.size > 0 && !this.#isClosed) {
      const jobs = this.#next(isOrdered ? PART : MOST_AT_ONCE)
      this.#writing += jobs.length
      const written = this.#write(jobs).then(() => {
        underWay.delete(written)
        this.#written(jobs.length)
      })
      underWay.add(written)
      // Jobs join their locks before they are added, and nothing that comes next may pass them there.
      if (jobs.some((one) => this.#isLocked(one))) await written
      else if (underWay.size < (isOrdered ? PARTS_AT_ONCE : 1))
        await new Promise<void>((resolve) => this.#parts.clock.soon(resolve))
      else await Promise.race(underWay)
    }
    this.#isWriting = false
  }

  #written(jobs: number): void {
    this.#writing -= jobs
    if (this.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  #next(most: number): Written[] {
    const next: Written[] = []
    for (const written of this.#buffer) {
      if (next.length === most) break
      const [job, step] = written
      next.push(written)
      this.#buffer.delete(job)
      if (step !== 'release') this.#parts.local.writing(job, step === 'hold')
    }
    return next
  }

  #isLocked([job, step]: Written): boolean {
    return step === 'release' || job.extras?.key !== undefined || this.#parts.local.lineOf(job) !== undefined
  }

  /** Until the store has them, or nothing is written any more: what was not written is told as lost then. */
  async #write(jobs: readonly Written[]): Promise<void> {
    let added: Written[] = []
    for (const written of jobs) {
      const [job, step] = written
      if (step === 'release') {
        await this.#insert(added)
        added = []
        await this.#release(job)
      } else added.push(written)
    }
    await this.#insert(added)
  }

  /** Adding is the same when it is done twice: the store knows the ids. */
  async #insert(jobs: readonly Written[]): Promise<void> {
    const { store, local, retries } = this.#parts
    const insert = async (): Promise<void> => {
      // After a fault it is later than it was, and it may be known from elsewhere that some have come.
      const left = jobs.filter(([job]) => local.at(job)?.at === 'writing')
      if (this.#isClosed || left.length === 0) return
      const made = left.map(([job, step]) => this.#made(job, step === 'hold'))
      const ids = await store.insert(made)
      for (const [at, [job]] of left.entries()) {
        if (ids[at] === made[at]?.id) local.arrived(job)
        else local.isDuplicate(job)
      }
    }
    // Only the end of everything ends the tries: what was not written is told as lost then.
    await retries.retry(insert).catch(() => {})
  }

  async #release(job: JobRecord): Promise<void> {
    const { store, local, retries } = this.#parts
    await job.extras?.storing?.promise
    const release = async (): Promise<void> => {
      if (!this.#isClosed && local.at(job)?.at === 'stored') await store.release(this.#made(job, false))
    }
    // The store refuses it when the job is held no more: then it has been taken up elsewhere.
    await retries.retry(release).catch(() => {})
  }

  #made(job: JobRecord, isHeld: boolean): NewJob {
    const { clock, local } = this.#parts
    const data = toData(job, clock, local.lineOf(job), isHeld)
    const of = { queue: queueOfJob(job), id: local.idOf(job) }
    const made = toNewJob(of, job, data, clock, isHeld ? holdOf(job) : this.#timeToWait(job))
    const before = data.line === undefined ? undefined : this.#firstOf(job)
    if (before === undefined || isTerminal(before.state)) return made
    return { ...made, behind: { queue: queueOfJob(before), id: local.idOf(before) } }
  }

  /** Who is to join the lock before a job. One that ended before it was written leaves that to the job behind it. */
  #firstOf(job: JobRecord): JobRecord | undefined {
    for (let at: JobRecord | undefined = job; at !== undefined; at = this.#parts.local.previousOf(at)) {
      const before = this.#before.get(at)
      if (before !== undefined) return before
      if (at !== job && !isTerminal(at.state)) return undefined
    }
    return undefined
  }

  #timeToWait(job: JobRecord): number {
    const dueAt = job.extras?.dueAt
    return dueAt === undefined ? 0 : Math.max(0, Math.ceil(dueAt - this.#parts.clock.now()))
  }
}

/** How long a held job lies in the store: its delay counts from when another process would take it up. */
function holdOf(job: JobRecord): number {
  return HOLD + (job.extras?.delay ?? 0)
}
