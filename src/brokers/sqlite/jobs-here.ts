/** The jobs that this process has to do with, and the steps that they take here whoever asks for them. */
import type { JobRecord } from '../../rules/job-record.ts'
import { OP } from '../../rules/journal-protocol.ts'
import { isStranger } from '../../rules/stranger.ts'
import { isTerminal } from '../../words/job.ts'
import { applyEnding } from '../lifecycle/ending.ts'
import { ProgressWriter } from '../lifecycle/progress-writer.ts'
import { type Ending, ranOf } from '../port/attempt.ts'
import type { BrokerHost } from '../port/host.ts'
import { UniqueKeys } from '../structures/unique-keys.ts'
import { attemptOp, encodedResult, finishOp } from './operations.ts'
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
  /** Our own jobs whose end was not told yet: only in a shared file, where another process may end them. */
  readonly #untold = new Set<number>()
  /** Jobs that are not written yet. */
  readonly adding = new Set<JobRecord>()
  /**
   * Jobs whose response is over, or that start over, which is not written yet: their grant finds them here. With each
   * stand the releases of the last message that says so: an earlier one may be unwritten as well.
   */
  readonly #releasing = new Map<JobRecord, readonly JobRecord[]>()
  readonly #suspects: Suspects
  readonly #host: BrokerHost
  readonly #outbox: Outbox
  readonly #isShared: boolean

  constructor(host: BrokerHost, outbox: Outbox, isShared: boolean) {
    this.#host = host
    this.#outbox = outbox
    this.#isShared = isShared
    this.records = new Records(host.clock, host.entries)
    this.ready = new ReadyJobs(host.ageing)
    this.unique = new UniqueKeys(host.clock, (seq) => this.records.get(seq))
    this.progress = new ProgressWriter(host.clock, (job) => {
      outbox.next.ops.push(OP.progress, job.seq, job.extras?.progress ?? null)
    })
    this.#suspects = new Suspects((job) => this.#mark(job))
  }

  /** A time on the monotonic clock as wall-clock time. */
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
    return !(this.#isShared && isOwn(job)) || this.#untold.delete(job.seq)
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
    if (job.extras?.isSuspect === true) this.#suspects.add(job)
    else this.offer(job)
  }

  /** A granted job may be claimed. */
  offer(job: JobRecord): void {
    if (job.state !== 'available') return
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
    const from = job.state
    if (from === 'running') this.leaveRunning(job)
    const isGranted = this.leaveWindow(job)
    // Nothing that cannot run here was counted as pending.
    if (isStranger(job.entry) || (this.#isShared && !isGranted && !isOwn(job))) this.#host.pendingChanged(1)
    this.progress.write(job)
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
