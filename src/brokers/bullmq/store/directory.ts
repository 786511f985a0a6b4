/** Jobs in the queues of BullMQ that no process needs to have: found, listed, counted, ended, revived and removed. */
import type { Job, JobType, Queue } from 'bullmq'
import type { Clock } from '../../../words/clock.ts'
import {
  isTerminal,
  type JobState,
  TERMINAL_STATES,
  type TerminalState,
  UNFINISHED_STATES,
} from '../../../words/job.ts'
import type { Ended, JobFilter } from '../../port/broker.ts'
import { bullPriority, fromJob, toStored } from './bullmq-jobs.ts'
import type { EndedJobs } from './ended-jobs.ts'
import { attemptsOf, toEnd } from './job-data.ts'
import type { Finish, JobDirectory } from './shared-store.ts'
import type { StoredData, StoredEnd, StoredJob } from './stored-job.ts'

const EVERY_STATE: readonly JobState[] = [...UNFINISHED_STATES, ...TERMINAL_STATES]
const TYPES: Readonly<Partial<Record<JobState, readonly JobType[]>>> = {
  held: ['delayed'],
  waiting: ['delayed'],
  scheduled: ['delayed'],
  retryable: ['delayed'],
  available: ['wait', 'prioritized'],
  running: ['active'],
  completed: ['completed'],
  dead: ['failed'],
}
const COUNTED: readonly JobType[] = ['wait', 'prioritized', 'active', 'completed', 'failed', 'delayed']
// BullMQ has one set for all that is delayed; why a job is there is looked up for so many of them.
const MOST_DELAYED = 1000
const PAGE = 200
const MOST_PAGES = 50

/** Where the jobs lie. */
export interface DirectoryParts {
  readonly queues: readonly string[]
  readonly ended: EndedJobs
  readonly clock: Clock
  queue(name: string): Queue
}

/** Answers from the store, and changes what waits there. */
export class Directory implements JobDirectory {
  readonly #parts: DirectoryParts

  constructor(parts: DirectoryParts) {
    this.#parts = parts
  }

  /** A job by its id; `queue` when it is known where it is. */
  async find(id: string, queue?: string): Promise<StoredJob | undefined> {
    const names = queue === undefined ? this.#parts.queues : [queue]
    const answers = await Promise.all(names.map((name) => this.#findIn(name, id)))
    // After the queues: whoever ends a job there keeps its end first, and removes it then.
    return answers.find((answer) => answer !== undefined) ?? this.#parts.ended.get(id)
  }

  async #findIn(queue: string, id: string): Promise<StoredJob | undefined> {
    const { backend } = this.#parts.queue(queue)
    const json = await backend.getJobData(id)
    if (json === undefined) return undefined
    const bull = await backend.getState(id)
    // It may have gone between the two questions.
    if (bull === 'unknown') return undefined
    // An end comes after what was read before it.
    const isOver = bull === 'completed' || bull === 'failed'
    const last = isOver ? ((await backend.getJobData(id)) ?? json) : json
    return toStored(queue, id, last, bull, this.#parts.clock.wall())
  }

  async isOver(queue: string, id: string): Promise<boolean> {
    const state = await this.#parts.queue(queue).backend.getState(id)
    return state === 'completed' || state === 'failed' || state === 'unknown'
  }

  async list(filter: JobFilter): Promise<StoredJob[]> {
    const limit = filter.limit ?? 100
    const states = new Set(filter.state === undefined ? EVERY_STATE : [filter.state].flat())
    const types = [...new Set([...states].flatMap((state) => TYPES[state] ?? []))]
    const fits = (job: StoredJob): boolean =>
      states.has(job.state) && (filter.task === undefined || job.name === filter.task)
    const lists = await Promise.all(
      this.#parts.queues.flatMap((queue) => types.map((type) => this.#listOf(queue, type, fits, limit))),
    )
    const found = lists.flat()
    const ends = [...states].filter(
      (state): state is TerminalState => isTerminal(state) && state !== 'completed',
    )
    if (ends.length > 0) found.push(...(await this.#parts.ended.list(ends, limit)).filter(fits))
    return found.sort((one, other) => other.data.a - one.data.a).slice(0, limit)
  }

  async #listOf(
    queue: string,
    type: JobType,
    fits: (job: StoredJob) => boolean,
    limit: number,
  ): Promise<StoredJob[]> {
    const found: StoredJob[] = []
    for (let page = 0; page < MOST_PAGES && found.length < limit; page++) {
      const from = page * PAGE
      const jobs = await this.#parts.queue(queue).getJobs([type], from, from + PAGE - 1, false)
      for (const job of jobs) {
        if (job?.id === undefined) continue
        const stored = this.#read(queue, job, type)
        if (fits(stored)) found.push(stored)
      }
      if (jobs.length < PAGE) break
    }
    return found
  }

  async counts(): Promise<Record<JobState, number>> {
    const counts = Object.fromEntries(EVERY_STATE.map((state) => [state, 0])) as Record<JobState, number>
    await Promise.all(
      this.#parts.queues.map(async (queue) => {
        const of = await this.#parts.queue(queue).getJobCounts(...COUNTED)
        counts.available += (of['wait'] ?? 0) + (of['prioritized'] ?? 0)
        counts.running += of['active'] ?? 0
        counts.completed += of['completed'] ?? 0
        counts.dead += of['failed'] ?? 0
        if ((of['delayed'] ?? 0) > 0) await this.#countDelayed(queue, of['delayed'] ?? 0, counts)
      }),
    )
    const ended = await this.#parts.ended.counts()
    counts.cancelled += ended.cancelled
    counts.skipped += ended.skipped
    counts.dead += ended.dead
    return counts
  }

  async #countDelayed(queue: string, all: number, counts: Record<JobState, number>): Promise<void> {
    const jobs = await this.#parts.queue(queue).getJobs(['delayed'], 0, MOST_DELAYED - 1)
    for (const job of jobs) if (job) counts[this.#read(queue, job, 'delayed').state]++
    counts.scheduled += Math.max(0, all - jobs.length)
  }

  #read(queue: string, job: Job, type: JobType): StoredJob {
    return fromJob(queue, job, type, this.#parts.clock.wall())
  }

  /** Ends a job that no process runs. */
  async finish(id: string, ended: Ended, queue?: string): Promise<Finish> {
    const found = await this.find(id, queue)
    if (found === undefined || isTerminal(found.state)) return { isRunning: false, isDone: false, job: found }
    if (found.state === 'running') return RUNNING
    const data = this.#endedData(found, ended)
    // First what became of it, then its removal: a job must not vanish between the two.
    await this.#parts.ended.put(id, found.name, data)
    if ((await this.#parts.queue(found.queue).backend.remove(id, false)) !== 1) {
      await this.#parts.ended.remove(id)
      return RUNNING
    }
    return { isRunning: false, isDone: true, job: { ...found, data, state: ended.state } }
  }

  #endedData(found: StoredJob, ended: Ended): StoredData & { end: StoredEnd } {
    const { data, queue, mark } = found
    const end = toEnd(attemptsOf(found), queue, this.#parts.clock.wall(), ended, mark ?? data.past)
    const left = { ...data, past: undefined, end }
    // A dead job can be revived; no other has a use for its payload.
    return ended.state === 'dead' ? left : { ...left, p: undefined, b: undefined }
  }

  /** Lets a dead job start over. */
  async revive(id: string, by: string): Promise<void> {
    const found = await this.find(id)
    if (found?.state !== 'dead') return
    const { name, queue, mark } = found
    const { end, past } = found.data
    const kept = end?.past ?? mark ?? past
    const data: StoredData = { ...found.data, end: undefined, line: undefined, q: undefined, past: kept, by }
    if (end !== undefined) {
      const opts = { jobId: id, timestamp: data.a, priority: bullPriority(data.priority) }
      await this.#parts.queue(queue).add(name, { ...data, revived: end.n }, opts)
      await this.#parts.ended.remove(id)
      return
    }
    const { backend } = this.#parts.queue(queue)
    const job = { id, opts: {} } as never
    await backend.updateData(job, { ...data, revived: attemptsOf(found) } as never)
    await backend.retryFinishedJob(job, 'failed', {})
  }

  /** Forgets a job that is over; false when it is not. */
  async remove(id: string): Promise<boolean> {
    const found = await this.find(id)
    if (found === undefined || !isTerminal(found.state)) return false
    if (found.data.end !== undefined) return this.#parts.ended.remove(id)
    return (await this.#parts.queue(found.queue).backend.remove(id, false)) === 1
  }
}

const RUNNING: Finish = { isRunning: true, isDone: false, job: undefined }
