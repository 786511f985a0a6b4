/** Jobs of the modelled store that no process needs to have: found, listed, counted, ended, revived and removed. */
import { toDataText } from '../../../src/brokers/bullmq/store/bullmq-jobs.ts'
import { attemptsOf } from '../../../src/brokers/bullmq/store/job-data.ts'
import { endedStacktrace, markOf, progressOf } from '../../../src/brokers/bullmq/store/progress-mark.ts'
import {
  type Finish,
  type JobDirectory,
  locksOf,
  type StoredEnding,
} from '../../../src/brokers/bullmq/store/shared-store.ts'
import type { StoredJob } from '../../../src/brokers/bullmq/store/stored-job.ts'
import type { Ending } from '../../../src/brokers/port/attempt.ts'
import type { JobFilter } from '../../../src/brokers/port/broker.ts'
import { BATCH_FAILED } from '../../../src/rules/journal-protocol.ts'
import { isTerminal, type JobState, TERMINAL_STATES, UNFINISHED_STATES } from '../../../src/words/job.ts'
import { type ModelStore, read } from './model-store.ts'

/** Asks the store, whenever the question gets there. A store that refuses writes answers what only reads. */
export type Ask = <T>(effect: () => T, onlyReads?: boolean) => Promise<T>

/** Answers from the modelled store. */
export class ModelDirectory implements JobDirectory {
  readonly #ask: Ask
  readonly #store: ModelStore
  readonly #wall: () => number

  constructor(ask: Ask, store: ModelStore, wall: () => number) {
    this.#ask = ask
    this.#store = store
    this.#wall = wall
  }

  async find(id: string, queue?: string): Promise<StoredJob | undefined> {
    const seen = await this.#ask(
      () => this.#store.find(id, queue === undefined ? [...this.#store.queues.keys()] : [queue]),
      true,
    )
    return seen && read(seen, this.#wall())
  }

  async logs(): Promise<readonly string[]> {
    return []
  }

  isOver(queue: string, id: string): Promise<boolean> {
    return this.#ask(() => {
      const where = this.#store.queue(queue).jobs.get(id)?.where
      return where === undefined || where === 'completed' || where === 'failed'
    }, true)
  }

  async list(filter: JobFilter): Promise<readonly StoredJob[]> {
    const states = filter.state === undefined ? undefined : new Set([filter.state].flat())
    const all = await this.#all()
    const fitting = all.filter(
      ({ state, name }) =>
        (states?.has(state) ?? true) && (filter.task === undefined || filter.task === name),
    )
    return fitting.sort((one, other) => other.data.a - one.data.a).slice(0, filter.limit ?? 100)
  }

  async counts(): Promise<Record<JobState, number>> {
    const states = [...UNFINISHED_STATES, ...TERMINAL_STATES]
    const counts = Object.fromEntries(states.map((state) => [state, 0])) as Record<JobState, number>
    for (const { state } of await this.#all()) counts[state]++
    return counts
  }

  async finish(id: string, ended: Ending, queue?: string): Promise<Finish> {
    const found = await this.find(id, queue)
    if (found === undefined || isTerminal(found.state)) return { isRunning: false, isDone: false, job: found }
    if (found.state === 'running') return RUNNING
    const { state, reason } = ended
    const stacktrace = endedStacktrace({ ...found.left, n: attemptsOf(found) }, ended)
    const ending: StoredEnding = {
      state,
      left: { reason: '', stacktrace },
      locks: locksOf(found.data),
      stops: (state === 'dead' && found.data.stops === true) || reason === BATCH_FAILED,
      fetchNext: false,
    }
    const isDone = await this.#ask(() => this.#store.endWaiting(found.queue, id, ending))
    if (!isDone) return RUNNING
    const mark = markOf(stacktrace)
    return {
      isRunning: false,
      isDone,
      job: { ...found, state, mark, left: progressOf(mark), endedAt: this.#wall() },
    }
  }

  async revive(id: string, by: string): Promise<void> {
    const found = await this.find(id)
    if (found?.state !== 'dead') return
    const { queue, mark, payload } = found
    const { line: _, q: __, past, ...data } = found.data
    const text = toDataText({ ...data, past: mark ?? past, by, revived: attemptsOf(found) }, payload, false)
    await this.#ask(() => this.#store.update(queue, id, text))
    await this.#ask(() => this.#store.retryFailed(queue, id))
  }

  async remove(id: string): Promise<boolean> {
    const found = await this.find(id)
    if (found === undefined || !isTerminal(found.state)) return false
    return this.#ask(() => this.#store.remove(found.queue, id))
  }

  async #all(): Promise<StoredJob[]> {
    const all = await this.#ask(() => [...this.#store.all([...this.#store.queues.keys()])], true)
    return all.map((seen) => read(seen, this.#wall()))
  }
}

const RUNNING: Finish = { isRunning: true, isDone: false, job: undefined }
