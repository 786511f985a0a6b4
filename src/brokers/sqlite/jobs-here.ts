/** The jobs that this process has to do with, and the steps that they take here whoever asks for them. */
import type { JobRecord } from '../../rules/job-record.ts'
import { OP } from '../../rules/journal-protocol.ts'
import { isStranger } from '../../rules/stranger.ts'
import { JobLostError, LeaseLostError } from '../../words/errors.ts'
import { isTerminal, type JobState } from '../../words/job.ts'
import { applyEnding } from '../lifecycle/ending.ts'
import { LogWriter } from '../lifecycle/log-writer.ts'
import { ProgressWriter } from '../lifecycle/progress-writer.ts'
import { type Ending, ranOf } from '../port/attempt.ts'
import type { BrokerHost } from '../port/host.ts'
import { UniqueKeys } from '../structures/unique-keys.ts'
import type { JournalClock } from './journal-clock.ts'
import { endAs, LostRuns, share } from './lost-runs.ts'
import { attemptOp, encodedResult, finishOp, logOp } from './operations.ts'
import type { Outbox } from './outbox.ts'
import { ReadyJobs } from './ready-jobs.ts'
import { Records } from './records.ts'
import { Suspects } from './suspects.ts'

/** Everything that the event loop's side holds of jobs. */
export class JobsHere {
  readonly records: Records
  readonly ready: ReadyJobs
  readonly unique: UniqueKeys
  readonly progress: ProgressWriter
  readonly logs: LogWriter
  /** Our own jobs whose end was not told yet: only in a shared file, where another process may end them. */
  readonly #untold = new Set<number>()
  /** Jobs that are not written yet. */
  readonly adding = new Set<JobRecord>()
  /**
   * Jobs whose response is over, or that start over, which is not written yet: their grant finds them here. With each
   * stand the releases of the last message that says so: an earlier one may be unwritten as well.
   */
  readonly #releasing = new Map<JobRecord, readonly JobRecord[]>()
  /** Jobs that run here and are another process's by now: their outcomes do not count. */
  readonly #lost = new LostRuns()
  readonly #paused = new Set<string>()
  /** True once another process has the whole file. */
  isOver = false
  /** Outcomes that came too late. */
  fenced = 0
  readonly #suspects: Suspects
  readonly #host: BrokerHost
  readonly #outbox: Outbox
  readonly #isShared: boolean

  constructor(host: BrokerHost, clock: JournalClock, outbox: Outbox, isShared: boolean) {
    this.#host = host
    this.#outbox = outbox
    this.#isShared = isShared
    this.records = new Records(clock, host.entries, (bytes) => host.freed(bytes))
    this.ready = new ReadyJobs(host.ageing)
    this.unique = new UniqueKeys(host.clock, (seq) => this.records.get(seq))
    this.progress = new ProgressWriter(host.clock, (job) => {
      outbox.next.ops.push(OP.progress, job.seq, job.extras?.progress ?? null)
    })
    this.logs = new LogWriter(host.clock, (job, log) => logOp(outbox.next.ops, job, log))
    this.#suspects = new Suspects((job) => this.#mark(job))
  }

  /** A time on the monotonic clock as the journal's. */
  readonly wall = (monotonic: number): number => this.records.wall(monotonic)

  /** A job comes in, or starts over: its end is to be told. */
  expect(job: JobRecord): void {
    if (this.#isShared && isOwn(job)) this.#untold.add(job.seq)
  }

  /** Another process's job is not with us any more: whoever gets it next counts it. */
  leaveToOthers(job: JobRecord): void {
    if (this.#isShared && !isOwn(job)) this.#host.pendingChanged(-1)
  }

  /** True when the end of a job is to be told, which it is once: whoever has written it, and in whatever order we hear. */
  takeEnd(job: JobRecord): boolean {
    if (!(this.#isShared && isOwn(job))) return true
    if (!this.#untold.delete(job.seq)) return false
    this.#lost.told(job)
    return true
  }

  /** Whether a job of a shared file is ours to end: granted to us, or held or being written here. */
  isHere(job: JobRecord): boolean {
    if (!this.#isShared || this.records.window.has(job.seq) || this.adding.has(job)) return true
    return job.state === 'held' && this.records.kept.get(job.seq) === job
  }

  /** Another process has the job, or has ended it: what was thought of its end here does not count. */
  disown(job: JobRecord): void {
    this.records.forget(job)
    if (!isOwn(job)) return this.leaveToOthers(job)
    job.state = 'available'
    job.more.isUnreported = false
    job.more.errors = []
    this.records.letGo(job)
  }

  /** A job is granted to us: it waits for nothing but a thread. */
  enterWindow(job: JobRecord, ready: number): void {
    job.state = 'available'
    job.readyAt = this.records.monotonic(ready)
    this.records.kept.delete(job.seq)
    this.records.window.set(job.seq, job)
    if (this.#paused.has(job.entry.task.policy.pool)) return this.#giveBack(job)
    if (job.extras?.isSuspect === true) this.#suspects.add(job)
    else this.offer(job)
  }

  /** A granted job may be claimed. */
  offer(job: JobRecord): void {
    if (job.state !== 'available' || !this.records.window.has(job.seq)) return
    this.ready.push(job)
    this.#host.wake(job.entry.task.policy.pool)
  }

  /** A job runs no more; another of its task may have waited for that. */
  leaveRunning(job: JobRecord): void {
    if (this.ready.leaveRunning(job)) this.#host.wake(job.entry.task.policy.pool)
  }

  /** True when the job was granted to us. */
  leaveWindow(job: JobRecord): boolean {
    this.#suspects.leave(job)
    return this.records.window.delete(job.seq)
  }

  /** True for a time that is yet to come. */
  isLater(at: number): boolean {
    return at > this.#host.clock.now()
  }

  /** A granted job is to wait for its time: the journal is told so with the next message. */
  putOff(job: JobRecord): void {
    this.ready.left(job)
    this.leaveWindow(job)
    job.state = 'scheduled'
    job.more.isMarked = false
    this.leaveToOthers(job)
    this.records.keep(job)
    this.release(job)
  }

  /** A job has ended that may have waited for a thread here. */
  leftUnclaimed(job: JobRecord): void {
    this.ready.ended(job)
    this.#suspects.ended()
  }

  /** What was not granted waits on disk; its record is held for nobody but those who have it. */
  settleDown(job: JobRecord): void {
    if (isTerminal(job.state) || job.state === 'held' || this.records.window.has(job.seq)) return
    if (!this.#releasing.has(job)) this.records.letGo(job)
  }

  /** The journal is told with the next message that it may grant the job. */
  release(job: JobRecord): void {
    const { releases } = this.#outbox.next
    releases.push(job)
    this.#releasing.set(job, releases)
  }

  /** True until it is written that the journal may grant the job. */
  isReleasing(job: JobRecord): boolean {
    return this.#releasing.has(job)
  }

  /** A message is written that releases these jobs. */
  released(releases: readonly JobRecord[]): void {
    for (const job of releases) {
      // A later message speaks of it, too: until that is written the file knows less of the job than its record.
      if (this.#releasing.get(job) !== releases) continue
      this.#releasing.delete(job)
      this.settleDown(job)
    }
  }

  /** A job is over as far as this process goes; it is told once that is written. */
  finish(job: JobRecord, ending: Ending): void {
    if (isTerminal(job.state)) return this.records.responseIsOver(job)
    if (this.wasLost(job)) return this.leaveLost(job, ending.state)
    const from = job.state
    if (from === 'running') this.leaveRunning(job)
    const isGranted = this.leaveWindow(job)
    // Nothing that cannot run here was counted as pending.
    if (isStranger(job.entry) || (this.#isShared && !isGranted && !isOwn(job))) this.#host.pendingChanged(1)
    this.progress.write(job)
    this.logs.write(job)
    const { attempt } = ending
    const written = { ...ending, result: encodedResult(ending.result) }
    applyEnding(job, written, this.#host.clock.now())
    if (from === 'available') this.leftUnclaimed(job)
    const { more } = job
    more.isUnreported = true
    more.ran = ranOf(attempt)
    const { next } = this.#outbox
    if (attempt !== undefined && attempt.outcome !== 'completed') attemptOp(next.ops, job, attempt, this.wall)
    finishOp(next.ops, job, written, isGranted, this.wall)
    next.endings.push(job)
    this.records.kept.set(job.seq, job)
    this.unique.over(job)
  }

  // ── What is another process's by now ───────────────────────────────────────────────────────────────────────────

  /** This process was taken for dead, and has begun anew: what it was granted is another's but for these jobs. */
  loseAllBut(owned: ReadonlySet<number>): void {
    for (const job of [...this.records.window.values()]) if (!owned.has(job.seq)) this.#lose(job)
  }

  /** The file is another's: nothing that is unfinished here will be heard of again, and everybody is told so. */
  loseAll(): void {
    this.isOver = true
    for (const job of [...this.records.window.values()]) this.#lose(job)
    for (const job of [...this.records.kept.values()]) {
      if (isTerminal(job.state) && job.extras?.isUnreported === true) this.#tellLate(job, job.state)
      if (!isTerminal(job.state) || job.extras?.isUnreported === true) this.#leave(job)
    }
  }

  /** True for a job that ran here when another process got it. */
  wasLost(job: JobRecord): boolean {
    return this.#lost.has(job)
  }

  /** Its attempt is over here; `state` is what that would have made of the job. */
  leaveLost(job: JobRecord, state?: JobState): void {
    const end = this.#lost.leave(job)
    this.leaveRunning(job)
    if (state !== undefined) this.#tellLate(job, state)
    if (end !== undefined) return this.#endLate(job, end)
    const current = this.records.get(job.seq)
    if (current === undefined || current === job) return this.#leave(job)
    // Granted to us anew meanwhile: it goes on under another record.
    share(job, current)
    job.more.isEvicted = true
    this.#freeBytes(job)
  }

  #lose(job: JobRecord): void {
    this.leaveWindow(job)
    if (job.state === 'running') {
      this.#lost.add(job)
      return this.#host.leaseLost(job)
    }
    this.#leaveReady(job)
    this.#leave(job)
  }

  /** The job ended in another process while it ran here, which was told on another record. */
  #endLate(job: JobRecord, end: JobRecord): void {
    endAs(job, end)
    this.#freeBytes(job)
    this.#host.settledLate(job)
  }

  #freeBytes(job: JobRecord): void {
    this.#host.freed(job.bytes)
    job.bytes = 0
  }

  #tellLate(job: JobRecord, state: JobState): void {
    this.fenced++
    this.#host.fenced(job, state)
  }

  /** In a shared file it goes on in another process, and its end is heard of; otherwise nobody here will know of that. */
  #leave(job: JobRecord): void {
    if (!this.isOver) return this.disown(job)
    this.#giveUp(job)
    if (this.takeEnd(job)) this.#host.settled(job, 0)
  }

  /** A job that waits on disk is asked for, and the file is another's. */
  lostOnDisk(job: JobRecord): void {
    if (isTerminal(job.state)) return
    this.#giveUp(job)
    this.#host.settledLate(job)
  }

  /** A job of a file that is gone, which had ended before anybody here said so: only its promise is told. */
  overElsewhere(job: JobRecord): void {
    if (job.extras?.isUnreported !== true) return
    job.more.isUnreported = false
    this.records.forget(job)
    this.#host.settledLate(job)
  }

  /** A job of a file that is gone: it is lost, or its end is told although nobody has written it. */
  loseForGood(job: JobRecord): void {
    const isOurs = !this.#isShared || isOwn(job) || this.records.window.has(job.seq)
    if (!isOurs || (isTerminal(job.state) && job.extras?.isUnreported !== true)) return
    if (isTerminal(job.state)) {
      job.more.isUnreported = false
      this.records.forget(job)
    } else {
      this.leaveWindow(job)
      this.#giveUp(job, new JobLostError(job.entry.task.name, 'store'))
    }
    if (this.takeEnd(job)) this.#host.settled(job, job.more.ran ?? 0)
  }

  #giveUp(job: JobRecord, error: Error = new LeaseLostError(job.entry.task.name)): void {
    const { more } = job
    more.errors = [error]
    more.reason = 'lost'
    more.isUnreported = false
    more.storing?.promise.catch(() => {})
    more.storing?.reject(error)
    this.adding.delete(job)
    job.state = 'cancelled'
    job.readyAt = Math.round(this.#host.clock.now())
    this.unique.over(job)
    this.records.forget(job)
  }

  // ── A pause ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A process that starts no jobs keeps none from the others: only what runs stays with it. */
  pause(pool: string, isPaused: boolean): void {
    if (isPaused === this.#paused.has(pool)) return
    if (isPaused) this.#paused.add(pool)
    else this.#paused.delete(pool)
    this.#outbox.next.ops.push(OP.pause, pool, isPaused ? 1 : 0)
    if (!isPaused) return
    for (const job of [...this.records.window.values()])
      if (job.state === 'available' && job.entry.task.policy.pool === pool) this.#giveBack(job)
  }

  /** A journal that starts anew knows of no pause. */
  tellPauses(): void {
    for (const pool of this.#paused) this.#outbox.next.ops.push(OP.pause, pool, 1)
  }

  #giveBack(job: JobRecord): void {
    this.leaveWindow(job)
    this.#leaveReady(job)
    job.more.isMarked = false
    this.#outbox.next.ops.push(OP.giveBack, job.seq, job.attempts)
    this.disown(job)
  }

  /** A job that is not over waits for a thread elsewhere: its place here is nobody's, though the job stays available. */
  #leaveReady(job: JobRecord): void {
    this.ready.left(job)
    job.readyAt = -1
    this.#suspects.ended()
  }

  #mark(job: JobRecord): void {
    job.more.isMarked = true
    const { next } = this.#outbox
    next.ops.push(OP.mark, job.seq, job.attempts + 1)
    next.marks.push(job)
  }
}

function isOwn(job: JobRecord): boolean {
  return job.extras?.id === undefined
}
