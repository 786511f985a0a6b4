/** What is asked of the broker: the store's answers, and what this process knows better. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { AttemptInfo, JobState } from '../../words/job.ts'
import type { JobFilter } from '../broker.ts'
import { fitting } from '../job-filter.ts'
import type { Accepted } from './accepted.ts'
import type { Found, Lookups } from './lookups.ts'
import { attemptsIn } from './stored-job.ts'
import { historyOf, progressOf } from './stored-progress.ts'
import type { Work } from './work.ts'

/** What this needs of the broker. */
export interface QuestionsHost {
  /** Resolves once the store can be asked, and has what was on its way. */
  written(): Promise<void>
  /** The store has this job. */
  isStored(job: JobRecord): boolean
}

// What is fetched while the store counts would be counted twice, or not at all: then it is asked again.
const MOST_RECOUNTS = 5

/** Answers questions about jobs, wherever they are. */
export class Questions {
  readonly #lookups: Lookups
  readonly #accepted: Accepted
  readonly #work: Work
  /** Jobs that ended before they came to the store. */
  readonly #endedHere: ReadonlyMap<string, JobRecord>
  readonly #host: QuestionsHost

  constructor(
    parts: {
      lookups: Lookups
      accepted: Accepted
      work: Work
      endedHere: ReadonlyMap<string, JobRecord>
    },
    host: QuestionsHost,
  ) {
    this.#lookups = parts.lookups
    this.#accepted = parts.accepted
    this.#work = parts.work
    this.#endedHere = parts.endedHere
    this.#host = host
  }

  async find(id: string): Promise<JobRecord | undefined> {
    const leased = this.#work.leases.byId.get(id)
    if (leased !== undefined) return leased.job
    await this.#host.written()
    const found = await this.#lookups.find(id)
    if (found !== undefined) return this.#recordOf(found)
    return this.#accepted.byId.get(id) ?? this.#endedHere.get(id)
  }

  /** The attempts of a job that are over, oldest first. */
  async history(job: JobRecord, id: string): Promise<readonly AttemptInfo[]> {
    const lease = this.#work.leases.byId.get(id)
    if (lease !== undefined) return historyOf(lease.history, job.extras?.errors ?? [])
    await this.#host.written()
    const found = await this.#lookups.find(id)
    return found === undefined ? [] : attemptsOf(found)
  }

  async list(filter: JobFilter): Promise<readonly JobRecord[]> {
    await this.#host.written()
    const fits = fitting(filter)
    const jobs = this.#onlyHere().filter(fits)
    for (const found of await this.#lookups.list(filter)) {
      const job = this.#recordOf(found)
      if (job !== undefined && fits(job)) jobs.push(job)
    }
    const newestFirst = jobs.sort((one, other) => other.acceptedAt - one.acceptedAt || other.seq - one.seq)
    return newestFirst.slice(0, filter.limit ?? 100)
  }

  async counts(): Promise<Record<JobState, number>> {
    await this.#host.written()
    let counts = await this.#lookups.counts()
    for (let again = 0, moves = -1; again < MOST_RECOUNTS && moves !== this.#work.moves; again++) {
      await this.#work.fetchesOver()
      ;({ moves } = this.#work)
      counts = await this.#lookups.counts()
      if (this.#work.isFetchUnderWay) moves = -1
    }
    counts.running -= this.#work.waiting
    counts.available += this.#work.waiting
    for (const job of this.#onlyHere()) counts[job.state]++
    return counts
  }

  /** Jobs that the store knows nothing of. */
  #onlyHere(): JobRecord[] {
    const accepted = [...this.#accepted.byId.values()].filter((job) => !this.#host.isStored(job))
    return [...accepted, ...this.#endedHere.values()]
  }

  #recordOf(found: Found): JobRecord | undefined {
    const leased = this.#work.leases.byId.get(found.id)
    if (leased !== undefined) return leased.job
    const ours = this.#accepted.byId.get(found.id)
    if (ours === undefined) return this.#lookups.record(found)
    this.#accepted.take(ours, found.id, found)
    return ours
  }
}

/** BullMQ itself keeps when a job that completed was fetched, and when it ended. */
function attemptsOf({ json, data, state }: Found): AttemptInfo[] {
  const { e, h = [] } = progressOf(json, data.end?.past ?? data.past)
  if (state !== 'completed') return historyOf(h, e, data.end?.error)
  const { processedOn, finishedOn } = json
  return historyOf([...h, [attemptsIn(json), 'completed', processedOn ?? null, finishedOn ?? null, null]], e)
}
