/** What the journal says of jobs: what it grants, what it has written, and what ended there. */
import type { JobRecord } from '../../rules/job-record.ts'
import {
  COMPLETED,
  KEY_SLACK,
  type Opened,
  type Reply,
  type Row,
  STATES,
} from '../../rules/journal-protocol.ts'
import { isStranger } from '../../rules/stranger.ts'
import { NotSerializableError } from '../../words/errors.ts'
import { isTerminal } from '../../words/job.ts'
import { expiry } from '../lifecycle/queue-timeouts.ts'
import type { BrokerHost } from '../port/host.ts'
import type { Changes } from './changes.ts'
import type { Connection } from './connection.ts'
import type { DueTimer } from './due-timer.ts'
import type { JobsHere } from './jobs-here.ts'
import type { JournalClock } from './journal-clock.ts'
import { cancelOp } from './operations.ts'
import type { Outgoing } from './outbox.ts'

/** Does with the jobs of this process what the journal's replies say. */
export class Replies {
  readonly #host: BrokerHost
  readonly #clock: JournalClock
  readonly #connection: Connection
  readonly #jobs: JobsHere
  readonly #timer: DueTimer
  readonly #changes: Changes
  readonly #isShared: boolean
  /** The jobs that the journal itself had ended when it last told of any. */
  #lastTold: ReadonlySet<number> = new Set()

  constructor(
    host: BrokerHost,
    clock: JournalClock,
    connection: Connection,
    jobs: JobsHere,
    { timer, changes }: { timer: DueTimer; changes: Changes },
    isShared: boolean,
  ) {
    this.#host = host
    this.#clock = clock
    this.#connection = connection
    this.#jobs = jobs
    this.#timer = timer
    this.#changes = changes
    this.#isShared = isShared
  }

  opened({ unfinished, unique, reply }: Opened, isFirst: boolean): void {
    // A journal that starts anew tells again what the last one may not have told any more.
    if (!isFirst) reply.settled = reply.settled.filter(([seq]) => !this.#lastTold.has(seq))
    if (isFirst) {
      const ended = reply.settled.filter(([, , task]) => task >= 0).length
      if (!this.#isShared) this.#host.pendingChanged(unfinished + ended)
      const untold = new Set(reply.settled.map(([seq]) => seq))
      for (const row of unique) this.#holdUnique(row, untold.has(row[0]))
    }
    this.#jobs.tellPauses()
    this.committed(reply)
  }

  committed(reply: Reply): void {
    if (reply.changed !== undefined) this.#changes.told(reply.changed)
    if (reply.settled.length > 0) this.#lastTold = new Set(reply.settled.map(([seq]) => seq))
    for (let at = 0; at < reply.granted.length; at += 2)
      this.#granted(reply.granted[at] as number, reply.granted[at + 1] as number)
    for (let at = 0; at < reply.moved.length; at += 2)
      this.#moved(reply.moved[at] as number, reply.moved[at + 1] as number)
    for (const row of reply.rows) this.#grantedRow(row)
    if (reply.owned !== undefined) this.#loseOthers(reply, reply.owned)
    if (reply.fault !== undefined) {
      const error = this.#connection.faulty(reply.fault, reply.isStuck === true)
      const there = new Set(reply.there)
      for (const job of this.#connection.outbox.refused(reply.upTo, there)) {
        if (there.has(job.seq)) this.#arrived(job)
        else this.#refuse(job, error)
      }
    } else if (reply.upTo > 0) this.#connection.recovered()
    const late = reply.isStuck === true ? [] : this.#written(reply)
    for (const row of reply.settled) this.#settledRow(row)
    for (const { job, isRepeated } of late) this.#late(job, isRepeated)
    for (const row of reply.expired) this.#expired(row)
    for (let at = 0; at < reply.cancels.length; at += 2)
      this.#cancel(reply.cancels[at] as number, reply.cancels[at + 1] as string | null)
    if (reply.nextDue !== undefined) this.#timer.set(reply.nextDue)
    this.#connection.outbox.flush()
  }

  /** Others had taken this process for dead: what it had is theirs, but for what the same reply grants. */
  #loseOthers({ granted, rows }: Reply, owned: readonly number[]): void {
    const ours = new Set(owned)
    for (let at = 0; at < granted.length; at += 2) ours.add(granted[at] as number)
    for (const [seq] of rows) ours.add(seq)
    this.#jobs.loseAllBut(ours)
  }

  /** This will never be written: what it adds is refused; what it ends goes on at the next start, and is not told. */
  abandoned({ arrivals, revivals, number }: Outgoing, error: Error): void {
    for (const { reject } of revivals) reject(error)
    const wasSent = number > 0
    for (const job of arrivals) {
      // A journal that died may have written the job and not its end, which then does not count.
      if (isTerminal(job.state) && wasSent) this.#jobs.records.forget(job)
      else this.#refuse(job, error)
    }
  }

  #moved(seq: number, state: number): void {
    const job = this.#jobs.records.get(seq)
    if (job !== undefined && !isTerminal(job.state)) job.state = STATES[state] ?? job.state
  }

  /** `isUnreported`: the journal has just ended it, and that is yet to be told. */
  #holdUnique(row: Row, isUnreported: boolean): void {
    const { records, unique } = this.#jobs
    const uniqueKey = row[13]
    const until = row[14]
    // The name of the task is part of a key: nothing that is added here is equal to a job of another task.
    if (uniqueKey === null || row[2] < 0) return
    const job = records.of(row)
    if (isUnreported) job.more.isUnreported = true
    // To the journal such a key is free already: it goes to the job that was added before the journal was open.
    const isFree = until !== null && until <= this.#clock.wall() + KEY_SLACK
    // One whose time is over does not take it, and so is not in the way of who has taken the key since.
    if (!isFree || unique.holder(uniqueKey) === undefined) unique.hold(uniqueKey, job)
    // Of one that is over only its name is kept, unless its end is yet to be told.
    if (isTerminal(job.state)) unique.over(job)
    if (isUnreported || !isTerminal(job.state)) records.letGo(job)
  }

  /** Returns the jobs whose end was not taken. */
  #written({ upTo, refused, unwritable }: Reply): { job: JobRecord; isRepeated: boolean }[] {
    const refusals = refused.length === 0 ? undefined : new Set(refused)
    const unfit = new Map<unknown, unknown>()
    for (let at = 0; at < unwritable.length; at += 2) unfit.set(unwritable[at], unwritable[at + 1])
    const late: { job: JobRecord; isRepeated: boolean }[] = []
    const { outbox } = this.#connection
    for (const outgoing of outbox.written(upTo)) {
      const { arrivals, releases, revivals, endings, marks, isRepeated } = outgoing
      if (unfit.size > 0) outbox.passOver(outgoing.ops, (seq) => unfit.has(seq))
      for (const job of arrivals) {
        if (unfit.has(job.seq)) this.#refuse(job, unwritableError(job, unfit.get(job.seq)))
        else this.#arrived(job)
      }
      this.#jobs.released(releases)
      for (const job of endings) {
        if (refusals?.has(job.seq)) late.push({ job, isRepeated })
        else {
          if (unfit.has(job.seq) && job.extras?.isUnreported === true)
            this.#endedOtherwise(job, unfit.get(job.seq))
          this.#tell(job)
        }
      }
      for (const job of marks) this.#jobs.offer(job)
      areWritten(revivals)
    }
    return late
  }

  #arrived(job: JobRecord): void {
    this.#jobs.adding.delete(job)
    job.extras?.storing?.resolve()
    this.#jobs.settleDown(job)
  }

  #refuse(job: JobRecord, error: Error): void {
    this.#jobs.adding.delete(job)
    // It was over before it was written, and nothing of it will be.
    if (isTerminal(job.state)) return this.#tell(job)
    job.state = 'cancelled'
    job.readyAt = Math.round(this.#host.clock.now())
    const { more } = job
    more.errors = [error]
    more.reason = 'lost'
    more.storing?.promise.catch(() => {})
    more.storing?.reject(error)
    this.#jobs.unique.over(job)
    this.#jobs.records.forget(job)
    if (this.#jobs.takeEnd(job)) this.#host.settled(job, 0)
  }

  /** What the job resulted in cannot be written: the journal has written that it is dead of that. */
  #endedOtherwise(job: JobRecord, why: unknown): void {
    job.state = 'dead'
    job.more.errors = [...(job.extras?.errors ?? []), unwritableError(job, why)]
  }

  /** The end of a job is written. */
  #tell(job: JobRecord): void {
    const { more } = job
    if (more.isUnreported !== true) return
    more.isUnreported = false
    this.#jobs.records.forget(job)
    if (!this.#jobs.takeEnd(job)) return
    this.#host.settled(job, more.ran ?? 0)
  }

  /** Our end of a job came too late: it is over already, or another process has it. */
  #late(job: JobRecord, isRepeated: boolean): void {
    if (job.extras?.isUnreported !== true) return this.#jobs.records.forget(job)
    if (!this.#isShared) return void this.#correct(job, isRepeated)
    const isCancelled = job.state === 'cancelled'
    this.#jobs.disown(job)
    if (isCancelled) cancelOp(this.#connection.outbox.next.ops, job.seq, undefined)
  }

  /** A handle that had not heard of the job's end has spoken. That was told at its time: only its promise is told now. */
  async #correct(job: JobRecord, isRepeated: boolean): Promise<void> {
    const { records } = this.#jobs
    const row = await this.#connection.rowOf(job.seq)
    // Written by a journal that died before it could say so, and let go of since.
    if (row === null && isRepeated) return this.#tell(job)
    records.forget(job)
    job.more.isUnreported = false
    // The journal has closed: what it would say is told by whoever opens the file next.
    if (row === undefined) return
    if (row !== null) records.update(job, row)
    if (isTerminal(job.state)) this.#host.settledLate(job)
    else records.letGo(job)
  }

  /** Another process asks for it; if the job has gone from here meanwhile, the journal looks where it is. */
  #cancel(seq: number, reason: string | null): void {
    const job = this.#jobs.records.get(seq)
    if (job === undefined || !this.#jobs.isHere(job)) {
      cancelOp(this.#connection.outbox.next.ops, seq, reason ?? undefined)
    } else if (!isTerminal(job.state)) {
      this.#host.cancel(job, reason ?? undefined)
    }
  }

  #granted(seq: number, ready: number): void {
    const job = this.#jobs.records.get(seq)
    if (job === undefined || isTerminal(job.state)) return
    this.#jobs.enterWindow(job, ready)
  }

  #grantedRow(row: Row): void {
    const { records } = this.#jobs
    if (row[3] >= COMPLETED || records.window.has(row[0])) return
    const known = records.get(row[0])
    if (known !== undefined && isTerminal(known.state) && known.extras?.isUnreported === true) return
    // A journal that starts anew grants what it believes to be ours, and has not heard that this is to be tried again.
    const isBehind = known !== undefined && (row[9] !== known.failures || row[10] !== known.crashes)
    const isUnwritten = known !== undefined && this.#jobs.isReleasing(known)
    if (isBehind && isUnwritten && known.state === 'retryable') return
    const job = known === undefined || isTerminal(known.state) ? records.view(row) : known
    // A handle may have brought back the record that was let go, before the job was tried under another.
    if (job === known && !isUnwritten) records.update(job, row)
    if (job.extras?.id !== undefined && this.#isShared) this.#host.pendingChanged(1)
    if (row[11] === 1) job.more.isSuspect = true
    this.#jobs.enterWindow(job, row[6])
  }

  /** The journal itself, or another process, has ended a job. */
  #settledRow(row: Row): void {
    const [seq] = row
    // Another process has revived it since: whoever ends it then says so again.
    if (row[3] < COMPLETED) return
    const { records } = this.#jobs
    const known = records.get(seq)
    if (known !== undefined && isTerminal(known.state) && known.extras?.isUnreported !== true) return
    const job = known ?? records.view(row)
    if (!this.#isToTell(job)) return
    this.#jobs.leaveWindow(job)
    records.update(job, row)
    this.#jobs.leftUnclaimed(job)
    job.more.isUnreported = false
    this.#jobs.unique.over(job)
    records.forget(job)
    if (isStranger(job.entry)) this.#host.pendingChanged(1)
    this.#host.settled(job, 0)
  }

  /** In a shared file an end is told where the job was added; and where it was granted, if it was. */
  #isToTell(job: JobRecord): boolean {
    const isOthers = this.#isShared && job.extras?.id !== undefined
    return isOthers ? this.#jobs.records.window.has(job.seq) : this.#jobs.takeEnd(job)
  }

  #expired(row: Row): void {
    const job = this.#jobs.records.of(row)
    if (job.attempts > 0 || isTerminal(job.state) || job.state === 'running') return
    this.#jobs.finish(job, expiry(job))
  }
}

function unwritableError(job: JobRecord, why: unknown): Error {
  const what = `unfit for the journal (${String(why)})`
  return new NotSerializableError(`a value of job "${job.entry.task.name}"`, what)
}

function areWritten(revivals: Outgoing['revivals']): void {
  for (const { resolve } of revivals) resolve()
}
