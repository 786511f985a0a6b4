/** The rules of a cluster: at what threads do, at what the store does, and at what the runtimes tell. */
import type { HandlerEnd } from '../sim-thread.ts'
import type { ClusterJob, ClusterModel, Run } from './cluster-model.ts'
import type { StoreWitness } from './model-store.ts'
import { LEASE } from './sim-process.ts'

/** A process as the checks see it. */
export interface Seen {
  readonly number: number
  readonly isGone: boolean
  readonly isFrozen: boolean
  /** When it was last in trouble of its own, in true time. */
  readonly troubledUntil: number
  /** `knows`: whether it has heard that it has a job under a token. */
  readonly client: { knows(token: string, id: string): boolean }
}

/** What the checks look at besides the model. */
export interface Evidence {
  /** The process of a number. */
  process(number: number): Seen | undefined
  /** The process that a job belongs to by the store's word, if it is there and runs. */
  ownerOf(id: string): Seen | undefined
  /** The process that took a token. */
  holder(token: string): Seen | undefined
  /** True time. */
  now(): number
  /** When the store was away last. */
  outage(): { readonly since: number; readonly until: number; readonly forgotAt: number }
}

/**
 * Two processes read the store's time so far apart at most: each has a clock of its own in between, which goes up to half a
 * percent wrong, and may not have been told for as long as it stands still or is cut off. Timers are coarse.
 */
const SLACK = 150

/** Holds what happens against what should. */
export class ClusterChecks implements StoreWitness {
  readonly #model: ClusterModel
  readonly #evidence: Evidence

  constructor(model: ClusterModel, evidence: Evidence) {
    this.#model = model
    this.#evidence = evidence
  }

  // ── Threads ────────────────────────────────────────────────────────────────────────────────────────────────────

  handlerStarts(job: ClusterJob, process: Seen, attempt: number): void {
    const model = this.#model
    const { id } = job
    const isOurs = this.#evidence.ownerOf(id) === process
    const run: Run = {
      process: process.number,
      attempt,
      how: undefined,
      endedAt: undefined,
      isFenced: !isOurs,
    }
    job.runs.push(run)
    // What may end its process is on record as begun before it begins.
    const most = job.runs.length + job.takenTimes
    model.expect(attempt <= most, () => `${id} starts attempt ${attempt} as its run ${job.runs.length}`)
    // It was taken from this process, which does not know of it yet.
    if (!isOurs)
      return model.expect(wasTaken(job, process), () => `${id} starts in a process that does not have it`)
    model.expect(!job.isOver, () => `${id} starts although it is ${job.ends.at(-1)}`)
    const other = job.runs.find((one) => one !== run && one.how === undefined && !one.isFenced)
    model.expect(
      other === undefined,
      () => `${id} starts in ${process.number} while it runs in ${other?.process}`,
    )
    model.expect(!model.isHeld(job), () => `${id} starts before its response is over`)
    this.#isItsTurn(job)
  }

  #isItsTurn(job: ClusterJob): void {
    const model = this.#model
    const { id, key, batch } = job
    const now = this.#evidence.now()
    model.expect(now >= job.dueAt - SLACK, () => `${id} starts ${job.dueAt - now} ms before it is due`)
    model.expect(now >= job.retryAt - SLACK, () => `${id} starts before its retry is due`)
    if (key !== undefined) {
      const other = model.keys.get(key)
      model.expect(
        other === undefined || other === job,
        () => `${id} starts while ${other?.id} holds key ${key}`,
      )
      model.keys.set(key, job)
    }
    if (job.uniqueKey?.includes(':schedule ') === true) this.#isOnlyRun(job)
    if (!job.isSequential || batch === undefined || job.revivals > 0 || job.joined.length > 0) return
    for (const before of batch.jobs) {
      if (before === job) return
      if (
        !before.isSequential ||
        before.isOver ||
        before.isDuplicate ||
        before.revivals > 0 ||
        before.joined.length > 0
      )
        continue
      if (batch.end === 'gone' && !before.isThere) continue
      // Its response does not let it run: what the store is yet to hear of that keeps nobody waiting.
      if (!model.isCalledFor(before)) continue
      model.violate(`${id} starts before ${before.id} of its batch was over`)
    }
  }

  /** Of a schedule's run there is one job that runs, whichever processes have added one. */
  #isOnlyRun({ id, uniqueKey }: ClusterJob): void {
    const other = this.#model.jobs.find(
      (job) => job.uniqueKey === uniqueKey && job.id !== id && job.runs.length > 0,
    )
    this.#model.expect(other === undefined, () => `${id} and ${other?.id} are the same run, "${uniqueKey}"`)
  }

  handlerStops(job: ClusterJob, process: Seen, how: HandlerEnd): void {
    const run = job.runs.findLast((one) => one.process === process.number && one.how === undefined)
    if (run === undefined) return this.#model.violate(`${job.id} stops in a process in which it does not run`)
    run.how = how
    run.endedAt = this.#evidence.now()
  }

  // ── The store ──────────────────────────────────────────────────────────────────────────────────────────────────

  arrived(id: string): void {
    const job = this.#model.byId.get(id)
    if (job === undefined) return this.#model.violate(`${id} is in the store, and nobody has added it`)
    const isLost = job.ends.at(-1) === 'lost'
    this.#model.expect(
      job.ends.length === 0 || isLost,
      () => `${id} comes to the store although it is ${job.ends.at(-1)}`,
    )
    job.isThere = true
    if (!isLost) return
    job.isOrphan = this.#evidence.process(job.process)?.isGone === true
    // Its process could not know whether it would arrive.
    job.ends.length = 0
    job.told.clear()
    job.isOver = false
  }

  ended(id: string, state: string, token: string | undefined): void {
    const model = this.#model
    const job = model.byId.get(id)
    if (job === undefined) return model.violate(`${id}, which was never accepted, is ${state}`)
    if (job.isOver) return model.violate(`${id} is ${state} although it was ${job.ends.at(-1)} before`)
    const process = token === undefined ? undefined : this.#evidence.holder(token)
    const last = job.runs.findLast((run) => run.process === process?.number)
    if (state === 'completed')
      model.expect(
        last?.how === 'returned',
        () => `${id} completed although its handler ${last?.how ?? 'never ran'}`,
      )
    else if (state === 'cancelled')
      model.expect(job.cancelAsked, () => `${id} is cancelled and nobody asked for it`)
    else if (state === 'skipped') this.#skippedRightly(job)
    else this.#diedRightly(job)
    model.ended(job, state)
  }

  #skippedRightly(job: ClusterJob): void {
    const isStopped =
      job.batch?.stops === true && this.#model.inBatch(job.batch, ({ ends }) => ends.includes('dead'))
    const isRight = isStopped || !this.#model.isCalledFor(job) || job.uniqueKey !== undefined
    this.#model.expect(isRight, () => `${job.id} was skipped for no reason`)
  }

  #diedRightly({ id, runs, rules, spec, takenFrom }: ClusterJob): void {
    // What may end its process is on record as begun before it begins.
    if (takenFrom.size > 0) return
    const mayExpire = (spec.queueTimeout ?? rules.queueTimeout) < Number.POSITIVE_INFINITY
    const hasFailed = rules.checksResult || runs.some(({ how }) => how !== 'returned')
    this.#model.expect(hasFailed || mayExpire, () => `${id} is dead, and no attempt of it has failed`)
  }

  duplicate(id: string): void {
    const job = this.#model.byId.get(id)
    if (job !== undefined) job.isDuplicate = true
  }

  revived(id: string): void {
    const job = this.#model.byId.get(id)
    if (job !== undefined) this.#model.revived(job)
  }

  /** A job was taken from a process: it must have been in trouble. */
  reclaimed(id: string, token: string, by: string): void {
    const job = this.#model.byId.get(id)
    const owner = this.#evidence.holder(token)
    for (const run of job?.runs ?? []) if (run.process === owner?.number) run.isFenced = true
    if (job !== undefined) {
      job.takenFrom.add(owner?.number ?? -1)
      job.takenTimes++
      // That it was to be tried again later had not been written.
      job.retryAt = 0
    }
    // It may not have heard that it has the job.
    if (owner === undefined || owner.isGone || !owner.client.knows(token, id)) return
    const now = this.#evidence.now()
    if (owner.isFrozen || now - owner.troubledUntil < 2 * LEASE) return
    const run = job?.runs.findLast(({ process }) => process === owner.number)
    this.#model.expect(
      this.#mayHaveGivenUp(run, now),
      () => `${id} is taken from process ${owner.number}, which was well, by ${by}`,
    )
  }

  /**
   * While the store is away, leases cannot be renewed, and a process gives up what it runs when one has passed. But not what
   * has ended before that: its outcome is written as soon as the store is back, before anybody may take the job.
   */
  #mayHaveGivenUp(run: Run | undefined, now: number): boolean {
    const { since, until, forgotAt } = this.#evidence.outage()
    // What is refused then is not tried again in every case: the job waits until it is taken back.
    if (now - Math.max(forgotAt, until) < 2.5 * LEASE && forgotAt >= since) return true
    if (until - since < LEASE / 2 || now - until > 2.5 * LEASE) return false
    return run?.endedAt === undefined || run.endedAt > since + LEASE * 0.6
  }

  // ── Runtimes ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** A runtime tells that a job is over. */
  told(id: string, process: Seen, state: string): void {
    const model = this.#model
    const job = model.byId.get(id)
    if (job === undefined) return model.violate(`${id}, which was never accepted, is told to be ${state}`)
    // Nobody has heard whether it has come to the store.
    if (state === 'lost' && process.number === job.process && job.isThere && !job.isStored) return
    const told = job.told.get(process.number) ?? []
    told.push(state)
    job.told.set(process.number, told)
    if (!job.isThere && process.number === job.process && !job.isOver) return this.#endedHere(job, state)
    model.expect(
      job.ends.includes(state),
      () => `${id} is told to be ${state}, and it is ${job.ends.at(-1) ?? 'not over'}`,
    )
    model.expect(
      told.length <= job.ends.length + job.revivesAsked,
      () => `${id} is told to be ${told.join()} in process ${process.number}`,
    )
  }

  /** It ended before the store had it. */
  #endedHere(job: ClusterJob, state: string): void {
    const model = this.#model
    if (state === 'cancelled')
      model.expect(job.cancelAsked, () => `${job.id} is cancelled and nobody asked for it`)
    else if (state === 'skipped') this.#skippedRightly(job)
    else if (state === 'dead') this.#diedRightly(job)
    else
      model.expect(
        state === 'lost' && !job.isStored,
        () => `${job.id} is ${state}, and the store does not have it`,
      )
    model.ended(job, state)
  }

  retrying(id: string, process: Seen, delay: number): void {
    const job = this.#model.byId.get(id)
    if (job !== undefined && this.#evidence.ownerOf(id) === process)
      job.retryAt = this.#evidence.now() + delay
  }
}

function wasTaken(job: ClusterJob, process: Seen): boolean {
  return job.takenFrom.has(process.number)
}
