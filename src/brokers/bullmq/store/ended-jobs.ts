/**
 * Jobs that ended without having run at the end: cancelled, skipped, or dead of waiting. BullMQ can only remove such a job,
 * so what became of it is kept in a queue that nobody works on.
 */
import type { Job, Queue } from 'bullmq'
import type { TerminalState } from '../../../words/job.ts'
import { fromJob } from './bullmq-jobs.ts'
import type { StoredData, StoredEnd, StoredJob } from './stored-job.ts'

const PRIORITY: Readonly<Record<string, number>> = { cancelled: 1, skipped: 2, dead: 3 }
const CLEAN_EVERY = 100

/** Keeps the ends that BullMQ does not. */
export class EndedJobs {
  readonly #queue: () => Queue
  readonly #age: number
  #sinceClean = 0

  /** `age`: milliseconds for which an end is kept. */
  constructor(queue: () => Queue, age: number) {
    this.#queue = queue
    this.#age = age
  }

  async put(id: string, name: string, data: StoredData & { readonly end: StoredEnd }): Promise<void> {
    await this.#queue().add(name, data, { jobId: id, priority: PRIORITY[data.end.state] ?? 1 })
    if (++this.#sinceClean < CLEAN_EVERY || !Number.isFinite(this.#age)) return
    this.#sinceClean = 0
    await this.#queue().clean(this.#age, 10 * CLEAN_EVERY, 'prioritized')
  }

  async get(id: string): Promise<StoredJob | undefined> {
    const job = (await this.#queue().getJob(id)) as Job<StoredData> | undefined
    return job && read(job)
  }

  async remove(id: string): Promise<boolean> {
    return (await this.#queue().remove(id)) === 1
  }

  async counts(): Promise<Record<'cancelled' | 'skipped' | 'dead', number>> {
    const counts = await this.#queue().getCountsPerPriority(Object.values(PRIORITY))
    return { cancelled: counts['1'] ?? 0, skipped: counts['2'] ?? 0, dead: counts['3'] ?? 0 }
  }

  /** Newest first; at most `limit` of each state. */
  async list(states: readonly TerminalState[], limit: number): Promise<StoredJob[]> {
    const jobs = (await this.#queue().getJobs(['prioritized'], 0, 3 * limit, false)) as Job<StoredData>[]
    const isAsked = (job: Job<StoredData>): boolean => {
      const state = job?.data?.end?.state
      return state !== undefined && states.includes(state)
    }
    return jobs.filter(isAsked).map(read)
  }
}

function read(job: Job<StoredData>): StoredJob {
  return fromJob(job.data.end?.queue ?? '', job, 'cancelled', 0)
}
