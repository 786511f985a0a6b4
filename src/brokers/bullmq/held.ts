/**
 * Jobs whose response is not over. They stay in this process, since most responses are over in milliseconds, unless
 * somebody wants one to be safe: then it lies in the store as a job that is due much later, which is put off again and
 * again for as long as this process lives. Should the process die, another one runs the job.
 */
import type { JobRecord } from '../../rules/job-record.ts'
import type { Clock } from '../../words/clock.ts'
import type { Writes } from './insist.ts'
import { type Lines, lineOfKey, memberOf } from './lines.ts'
import { HOLD } from './outbox.ts'
import type { Store } from './store.ts'
import { toData } from './stored-job.ts'

/** What this needs of the broker. */
export interface HeldHost {
  readonly clock: Clock
  idOf(job: JobRecord): string
  queueOf(job: JobRecord): string
  lineOf(job: JobRecord): string | undefined
}

/** Where a held job is: only here, on its way to the store, there; or released before it had arrived. */
type Place = 'here' | 'leaving' | 'there' | 'released'

/** The held jobs of this process. */
export class Held {
  readonly #places = new Map<JobRecord, Place>()
  readonly #store: Store
  readonly #writes: Writes
  readonly #lines: Lines
  readonly #recheck: number
  readonly #host: HeldHost
  #stopTimer: (() => void) | undefined

  constructor(store: Store, writes: Writes, lines: Lines, recheck: number, host: HeldHost) {
    this.#store = store
    this.#writes = writes
    this.#lines = lines
    this.#recheck = recheck
    this.#host = host
  }

  add(job: JobRecord): void {
    this.#places.set(job, 'here')
  }

  /** True while the job is only here. */
  has(job: JobRecord): boolean {
    return this.#places.get(job) === 'here'
  }

  /** Takes back a job that is only here. */
  takeBack(job: JobRecord): boolean {
    return this.has(job) && this.#places.delete(job)
  }

  /** It is to be written as held. False when it is no held job, or on its way already. */
  store(job: JobRecord): boolean {
    if (!this.has(job)) return false
    this.#places.set(job, 'leaving')
    this.#arm()
    return true
  }

  /** It has arrived in the store. */
  arrived(job: JobRecord): void {
    const place = this.#places.get(job)
    if (place === 'leaving') this.#places.set(job, 'there')
    else if (place === 'released') this.#letRun(job)
  }

  /** Its response is over. True when it is only here, and is to be written. */
  release(job: JobRecord): boolean {
    if (this.takeBack(job)) return true
    job.state = 'available'
    if (this.#places.get(job) === 'there') this.#letRun(job)
    else this.#places.set(job, 'released')
    return false
  }

  /** The process stops: jobs that are only here are to be written, and those in the store may run. */
  giveUp(): JobRecord[] {
    const here: JobRecord[] = []
    for (const [job, place] of this.#places) {
      if (place === 'here') here.push(job)
      else this.release(job)
    }
    for (const job of here) this.#places.delete(job)
    return here
  }

  #letRun(job: JobRecord): void {
    this.#places.delete(job)
    this.#writes.insist(() => this.#comeForward(job)).catch(() => {})
  }

  async #comeForward(job: JobRecord): Promise<void> {
    const queue = this.#host.queueOf(job)
    const id = this.#host.idOf(job)
    const line = this.#host.lineOf(job)
    const member = memberOf(queue, id)
    const { backend } = this.#store.queue(queue)
    const data = toData(job, this.#host.clock, line, false)
    await backend.updateData({ id, opts: {} } as never, data as never)
    const dueAt = job.extras?.dueAt ?? 0
    const wait = Math.round(dueAt - this.#host.clock.now())
    const isFirst = line === undefined || (await this.#lines.join(line, member)).isFirst
    if (isFirst && wait > 0) return backend.changeDelay(id, wait)
    const { key } = data
    const isNext = isFirst && (key === undefined || (await this.#lines.join(lineOfKey(key), member)).isFirst)
    if (isNext) await this.#lines.call(member)
    else await backend.changeDelay(id, this.#recheck)
  }

  #arm(): void {
    this.#stopTimer ??= this.#host.clock.timer(HOLD / 3, () => {
      this.#stopTimer = undefined
      for (const [job, place] of this.#places) if (place === 'there') this.#putOff(job)
      if (this.#places.size > 0) this.#arm()
    })
  }

  #putOff(job: JobRecord): void {
    const { backend } = this.#store.queue(this.#host.queueOf(job))
    backend.changeDelay(this.#host.idOf(job), HOLD).catch(() => {})
  }

  close(): void {
    this.#stopTimer?.()
  }
}
