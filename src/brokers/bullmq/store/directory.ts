/** Jobs in the queues of BullMQ that no process needs to have: found, listed, counted, ended, revived and removed. */
import type { Job, JobType, Queue } from 'bullmq'
import { BATCH_FAILED } from '../../../rules/journal-protocol.ts'
import type { Clock } from '../../../words/clock.ts'
import { isTerminal, JOB_STATES, type JobState, noCounts } from '../../../words/job.ts'
import type { Ending } from '../../port/attempt.ts'
import type { JobFilter } from '../../port/broker.ts'
import { toDataText, toStored } from './bullmq-jobs.ts'
import { attemptsOf } from './job-data.ts'
import { endedStacktrace, markOf, progressOf } from './progress-mark.ts'
import { type Finish, type JobDirectory, locksOf, type StoredEnding } from './shared-store.ts'
import type { StoredJob, WrittenData } from './stored-job.ts'

const TYPES: Readonly<Partial<Record<JobState, readonly JobType[]>>> = {
  held: ['delayed'],
  waiting: ['delayed'],
  scheduled: ['delayed'],
  retryable: ['delayed'],
  // What is set aside waits for a process that has its task.
  available: ['wait', 'prioritized', 'waiting-children'],
  running: ['active'],
  completed: ['completed'],
  cancelled: ['failed'],
  skipped: ['failed'],
  dead: ['failed'],
}
const COUNTED: readonly JobType[] = [
  'wait',
  'prioritized',
  'waiting-children',
  'active',
  'completed',
  'failed',
  'delayed',
]
// BullMQ has one set for all that is delayed, and one for all that did not complete: which of our states a job there is in
// is looked up for so many of them.
const MOST_LOOKED_AT = 1000
const PAGE = 200
const MOST_PAGES = 50

/** Where the jobs lie. */
export interface DirectoryParts {
  /** Those of this runtime's tasks. */
  readonly queues: readonly string[]
  readonly clock: Clock
  /** The store is PostgreSQL. */
  readonly isJsonb: boolean
  /** The names of all queues, also of those that only other processes have tasks for. */
  names(): Promise<readonly string[]>
  queue(name: string): Queue
  /** Ends a job that no process runs; false when one does, or when it is over. */
  end(queue: string, id: string, ending: StoredEnding): Promise<boolean>
}

/** Answers from the store, and changes what waits there. */
export class Directory implements JobDirectory {
  readonly #parts: DirectoryParts

  constructor(parts: DirectoryParts) {
    this.#parts = parts
  }

  /** A job by its id; `queue` when it is known where it is. */
  async find(id: string, queue?: string): Promise<StoredJob | undefined> {
    if (queue !== undefined) return this.#findIn(queue, id)
    const { queues, names } = this.#parts
    const found = await this.#findAmong(queues, id)
    if (found !== undefined) return found
    return this.#findAmong(
      (await names()).filter((name) => !queues.includes(name)),
      id,
    )
  }

  async #findAmong(queues: readonly string[], id: string): Promise<StoredJob | undefined> {
    const answers = await Promise.all(queues.map((name) => this.#findIn(name, id)))
    return answers.find((answer) => answer !== undefined)
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

  async logs(id: string, queue?: string): Promise<readonly string[]> {
    const where = queue ?? (await this.find(id))?.queue
    if (where === undefined) return []
    return (await this.#parts.queue(where).getJobLogs(id)).logs
  }

  async isOver(queue: string, id: string): Promise<boolean> {
    const state = await this.#parts.queue(queue).backend.getState(id)
    return state === 'completed' || state === 'failed' || state === 'unknown'
  }

  async list(filter: JobFilter): Promise<StoredJob[]> {
    const limit = filter.limit ?? 100
    const states = new Set(filter.state === undefined ? JOB_STATES : [filter.state].flat())
    const types = [...new Set([...states].flatMap((state) => TYPES[state] ?? []))]
    const fits = (job: StoredJob): boolean =>
      states.has(job.state) && (filter.task === undefined || job.name === filter.task)
    const names = await this.#parts.names()
    const lists = await Promise.all(
      names.flatMap((queue) => types.map((type) => this.#listOf(queue, type, fits, limit))),
    )
    return lists
      .flat()
      .sort((one, other) => other.data.a - one.data.a)
      .slice(0, limit)
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
    const counts = noCounts()
    const names = await this.#parts.names()
    await Promise.all(
      names.map(async (queue) => {
        const of = await this.#parts.queue(queue).getJobCounts(...COUNTED)
        counts.available += (of['wait'] ?? 0) + (of['prioritized'] ?? 0) + (of['waiting-children'] ?? 0)
        counts.running += of['active'] ?? 0
        counts.completed += of['completed'] ?? 0
        await this.#countEach(queue, 'delayed', of['delayed'] ?? 0, 'scheduled', counts)
        await this.#countEach(queue, 'failed', of['failed'] ?? 0, 'dead', counts)
      }),
    )
    return counts
  }

  /** `rest`: the state that those are taken for which are too many to be looked at. */
  async #countEach(
    queue: string,
    type: JobType,
    all: number,
    rest: JobState,
    counts: Record<JobState, number>,
  ): Promise<void> {
    if (all === 0) return
    const jobs = await this.#parts.queue(queue).getJobs([type], 0, MOST_LOOKED_AT - 1)
    for (const job of jobs) if (job) counts[this.#read(queue, job, type).state]++
    counts[rest] += Math.max(0, all - jobs.length)
  }

  #read(queue: string, job: Job, type: JobType): StoredJob {
    return toStored(queue, job.id ?? '', job.asJSON(), type, this.#parts.clock.wall())
  }

  /** Ends a job that no process runs. */
  async finish(id: string, ended: Ending, queue?: string): Promise<Finish> {
    const found = await this.find(id, queue)
    if (found === undefined || isTerminal(found.state)) return { isRunning: false, isDone: false, job: found }
    if (found.state === 'running') return RUNNING
    const { state, reason, error } = ended
    const stacktrace = endedStacktrace({ ...found.left, n: attemptsOf(found) }, ended)
    const isDone = await this.#parts.end(found.queue, id, {
      state,
      left: { reason: (error?.message ?? reason ?? '').replaceAll('\0', ''), stacktrace },
      locks: locksOf(found.data),
      stops: (state === 'dead' && found.data.stops === true) || reason === BATCH_FAILED,
      fetchNext: false,
    })
    if (!isDone) return RUNNING
    const mark = markOf(stacktrace)
    const endedAt = this.#parts.clock.wall()
    return { isRunning: false, isDone, job: { ...found, state, mark, left: progressOf(mark), endedAt } }
  }

  /** Lets a dead job start over. */
  async revive(id: string, by: string): Promise<void> {
    const found = await this.find(id)
    if (found?.state !== 'dead') return
    const { queue, mark, payload } = found
    const { line: _, q: __, past, ...data } = found.data
    const revived: WrittenData = { ...data, past: mark ?? past, by, revived: attemptsOf(found) }
    const { backend } = this.#parts.queue(queue)
    const job = { id, opts: {} } as never
    await backend.updateData(job, JSON.parse(toDataText(revived, payload, this.#parts.isJsonb)) as never)
    await backend.retryFinishedJob(job, 'failed', {})
  }

  /** Forgets a job that is over; false when it is not. */
  async remove(id: string): Promise<boolean> {
    const found = await this.find(id)
    if (found === undefined || !isTerminal(found.state)) return false
    return (await this.#parts.queue(found.queue).backend.remove(id, false)) === 1
  }
}

const RUNNING: Finish = { isRunning: true, isDone: false, job: undefined }
