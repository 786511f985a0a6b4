/** Admission: everything between a job that was fetched and its place among those that wait for a thread here. */
import type { JobJson } from 'bullmq'
import { BATCH_FAILED } from '../../rules/journal-protocol.ts'
import { ProcessExitedError, QueueTimeoutError } from '../../words/errors.ts'
import { isTerminal } from '../../words/job.ts'
import type { Ended } from '../broker.ts'
import type { Feed } from './feed.ts'
import type { Lease } from './leases.ts'
import { lineOfKey, memberOf } from './lines.ts'
import { dataOf, payloadOf, toRecord } from './stored-job.ts'
import { hasCrashed, progressOf, stallsOf } from './stored-progress.ts'
import type { WorkHost, WorkParts } from './work.ts'

/** What admission needs of the work. */
export interface AdmissionHost {
  has(lease: Lease): boolean
  /** It is the job's latest lease. */
  isLatest(lease: Lease): boolean
  take(lease: Lease): void
  /** It has to be written down that the job starts, before it does. */
  mark(lease: Lease): Promise<void>
  /** False when a suspect has to wait for another one. */
  mayStart(lease: Lease): boolean
  /** The job may run. */
  ready(lease: Lease): void
  /** The job is not to run. */
  finish(lease: Lease, ended: Ended): void
  /** It could not be found out whether the job may run. */
  lost(lease: Lease): void
  /** The job went back to the store. */
  letGo(lease: Lease): void
}

/** Lets fetched jobs in, or sends them back. */
export class Admission {
  readonly #parts: WorkParts
  readonly #broker: WorkHost
  readonly #work: AdmissionHost

  constructor(parts: WorkParts, broker: WorkHost, work: AdmissionHost) {
    this.#parts = parts
    this.#broker = broker
    this.#work = work
  }

  fetched(feed: Feed, json: JobJson, id: string, token: string): void {
    const data = dataOf(json)
    const entry = this.#broker.entryOf(json.name)
    if (entry === undefined) return this.#park(feed, id, token)
    const { clock } = this.#broker.host
    const known = this.#broker.accepted(id)
    const isForeign = known === undefined
    const seq = known?.seq ?? this.#broker.foreignSeq()
    const job = toRecord(json, data, { seq, id, entry, clock, known })
    if (isForeign) this.#broker.host.adopted(1)
    const now = clock.now()
    const stalls = stallsOf(json)
    const left = progressOf(json, data.past)
    const { attempts } = job
    const lease: Lease = {
      ...{ job, id, feed, token, data, stalls, attempts, history: [...(left.h ?? [])], isForeign },
      starts: Number(json.attemptsStarted),
      ...{ renewedAt: now, fetchedAt: now, claimedAt: 0, isMarked: false, isLost: false, isEnding: false },
    }
    this.#work.take(lease)
    job.state = 'available'
    job.payload = payloadOf(data)
    if (hasCrashed(left, json) && this.#crashed(lease)) return
    if (this.#isPlain(lease)) this.#work.ready(lease)
    else void this.#parts.writes.insist(() => this.#admit(lease)).catch(() => this.#work.lost(lease))
  }

  /** Nothing can keep it from running, and nothing has to be written before. */
  #isPlain({ job, data, stalls }: Lease): boolean {
    const isFree = data.q === undefined && data.line === undefined && data.key === undefined
    const isTrusted = stalls === 0 && job.crashes === 0 && job.entry.task.policy.onCrash !== 'fail'
    return isFree && isTrusted && this.#broker.lineOf(job) === undefined
  }

  /** A job whose task this process does not know waits for one that does: a deploy may be under way. */
  #park(feed: Feed, id: string, token: string): void {
    const { writes, recheck } = this.#parts
    const park = (): Promise<unknown> =>
      feed.backend.moveToDelayed(id, Date.now(), recheck, token, { skipAttempt: true }) as Promise<unknown>
    writes.insist(park).catch(() => {})
  }

  /** Everything that can keep a fetched job from running. */
  async #admit(lease: Lease): Promise<void> {
    const { job, data } = lease
    const { clock } = this.#broker.host
    const { task } = job.entry
    if (data.q !== undefined && job.attempts === 0 && clock.wall() > data.q) {
      const error = new QueueTimeoutError(task.name, data.q - data.a)
      return this.#work.finish(lease, { state: 'dead', error })
    }
    const member = memberOf(lease.feed.queue, lease.id)
    const line = data.line ?? this.#broker.lineOf(job)
    if (line !== undefined) {
      const { isFirst, isStopped } = await this.#parts.lines.join(line, member)
      if (isStopped) return this.#work.finish(lease, { state: 'skipped', reason: BATCH_FAILED })
      if (!isFirst) return this.#postpone(lease, this.#parts.recheck, line)
    }
    const early = (data.d ?? 0) - clock.wall()
    if (early > 0 && job.attempts === 0) return this.#postpone(lease, early, undefined)
    if (data.key !== undefined) {
      const key = lineOfKey(data.key)
      if (!(await this.#parts.lines.join(key, member)).isFirst) {
        return this.#postpone(lease, this.#parts.recheck, key)
      }
    }
    await this.#start(lease)
  }

  /** What may end its process is written down before it starts. */
  async #start(lease: Lease): Promise<void> {
    const { job } = lease
    const isSuspect = lease.stalls > 0 || job.crashes > 0
    if (isSuspect && !this.#work.mayStart(lease)) return this.#postpone(lease, this.#parts.recheck, undefined)
    job.more.isSuspect = isSuspect
    if (isSuspect || job.entry.task.policy.onCrash === 'fail') await this.#work.mark(lease)
    const isOurs = !lease.isLost && this.#work.has(lease)
    if (isOurs && !isTerminal(job.state)) this.#work.ready(lease)
  }

  /** The process that ran it ended without a word, which may have been this job's doing. True when that was the end. */
  #crashed(lease: Lease): boolean {
    const { job, history } = lease
    const { onCrash, maxCrashes } = job.entry.task.policy
    const error = new ProcessExitedError(job.entry.task.name)
    history.push([job.attempts, 'crashed', null, null, null])
    if (onCrash === 'fail' || job.crashes >= maxCrashes) {
      this.#work.finish(lease, { state: 'dead', error })
      return true
    }
    job.more.errors = [...(job.more.errors ?? []), error]
    return false
  }

  async #postpone(lease: Lease, delay: number, line: string | undefined): Promise<void> {
    const { feed, id, token, job } = lease
    await feed.backend.moveToDelayed(id, Date.now(), Math.round(delay), token, { skipAttempt: true })
    // It may have been promoted and fetched again before the answer came.
    if (this.#work.isLatest(lease)) job.state = line === undefined ? 'scheduled' : 'waiting'
    this.#work.letGo(lease)
    // From here on the job is not with this process, so that what follows is tried again by itself.
    if (line !== undefined) void this.#parts.writes.insist(() => this.#lookAgain(lease, line)).catch(() => {})
  }

  async #lookAgain({ feed, id }: Lease, line: string): Promise<void> {
    // The one before it may have left the line while this one was on its way back.
    const member = memberOf(feed.queue, id)
    if ((await this.#parts.store.join(line, member)).isFirst) await this.#parts.lines.call(member)
  }
}
