/** What is asked of the broker: the store's answers, and what this process knows better. */
import type { JobRecord } from '../../rules/job-record.ts'
import { type KeptLog, NOTHING_KEPT } from '../../rules/log-lines.ts'
import type { AttemptInfo, JobState } from '../../words/job.ts'
import { fitting } from '../lifecycle/job-filter.ts'
import { badCursor, searchInOrder } from '../lifecycle/job-search.ts'
import { tallyAmong } from '../lifecycle/job-tally.ts'
import { pause } from '../lifecycle/retries.ts'
import type { JobFilter } from '../port/broker.ts'
import type { Found, JobSearch } from '../port/search.ts'
import type { TaskTally } from '../port/tally.ts'
import { queueOfJob } from './queues.ts'
import { attemptsOf } from './store/job-data.ts'
import { fromLogTexts } from './store/log-text.ts'
import { historyOf } from './store/progress-mark.ts'
import type { StoredJob } from './store/stored-job.ts'
import type { Parts } from './wiring.ts'

// What is fetched while the store counts would be counted twice, or not at all: then it is asked again.
const MOST_RECOUNTS = 5

/** Answers questions about jobs, wherever they are. */
export class Queries {
  readonly #parts: Parts
  readonly #written: () => Promise<void>

  /** `written` resolves once the store can be asked, and has what was on its way. */
  constructor(parts: Parts, written: () => Promise<void>) {
    this.#parts = parts
    this.#written = written
  }

  async find(id: string): Promise<JobRecord | undefined> {
    const { consumer, store, local } = this.#parts
    const leased = consumer.leases.byId.get(id)
    if (leased !== undefined) return leased.job
    const found = await this.#asking.ask(async () => {
      await this.#written()
      const ours = local.byId.get(id)
      return store.directory.find(id, ours && queueOfJob(ours))
    })
    if (found !== undefined) return this.#recordOf(found)
    return local.byId.get(id) ?? local.endedHere.get(id)
  }

  /** The attempts of a job that are over, oldest first. */
  async history(job: JobRecord): Promise<readonly AttemptInfo[]> {
    const { consumer, store, local } = this.#parts
    const id = local.idOf(job)
    const lease = consumer.leases.byId.get(id)
    if (lease !== undefined) return historyOf(lease.history, job.extras?.errors ?? [])
    const found = await this.#asking.ask(async () => {
      await this.#written()
      return store.directory.find(id)
    })
    return found === undefined ? [] : attemptsIn(found)
  }

  async logs(job: JobRecord): Promise<KeptLog> {
    const { consumer, store, local } = this.#parts
    const id = local.idOf(job)
    if (local.endedHere.has(id)) return NOTHING_KEPT
    return this.#asking.ask(async () => {
      await Promise.all([this.#written(), consumer.logs.written()])
      return fromLogTexts(await store.directory.logs(id))
    })
  }

  async list(filter: JobFilter): Promise<readonly JobRecord[]> {
    const found = await this.#asking.ask(async () => {
      await this.#written()
      return this.#parts.store.directory.list(filter)
    })
    const fits = fitting(filter)
    const jobs = new Set(this.#onlyHere().filter(fits))
    for (const one of found) {
      const job = this.#recordOf(one)
      if (fits(job)) jobs.add(job)
    }
    const newestFirst = [...jobs].sort(
      (one, other) => other.acceptedAt - one.acceptedAt || other.seq - one.seq,
    )
    return newestFirst.slice(0, filter.limit ?? 100)
  }

  async search(search: JobSearch): Promise<Found> {
    const { local, engine } = this.#parts
    const jobs = await this.#candidates(search)
    const sign = search.order === 'newest' ? -1 : 1
    const byPlace = (one: Place, other: Place): number =>
      sign * (one.at - other.at || (one.id < other.id ? -1 : 1))
    const placed = jobs.map((job) => ({ job, at: job.acceptedAt, id: local.idOf(job) })).sort(byPlace)
    return searchInOrder(
      {
        after(place) {
          const from = place === undefined ? undefined : readPlace(place)
          const behind =
            from === undefined ? placed : placed.filter((one) => one.id !== from.id && byPlace(one, from) > 0)
          return behind.map(({ job }) => job)
        },
        placeOf: (job) => `${job.acceptedAt}:${local.idOf(job)}`,
        byId: (id) => placed.find((one) => one.id === id)?.job,
      },
      search,
      engine,
    )
  }

  /** Jobs among which those are that fit. Of the lists in the store, only those are read that can hold one. */
  async #candidates({ batch, states }: JobSearch): Promise<readonly JobRecord[]> {
    const { local } = this.#parts
    if (batch !== undefined) {
      // Which jobs are of one batch, only the process knows that has added them.
      const found = await this.find(batch)
      return [
        ...new Set([...(found === undefined ? [] : [found]), ...local.byId.values(), ...this.#onlyHere()]),
      ]
    }
    if (states === undefined) return this.list({ limit: Number.POSITIVE_INFINITY })
    // What was fetched and has not begun is running there, and available here.
    const isFetched = states.includes('running') || states.includes('available')
    const state = isFetched ? [...new Set([...states, 'running' as const, 'available' as const])] : states
    return this.list({ state, limit: Number.POSITIVE_INFINITY })
  }

  async tally(): Promise<readonly TaskTally[]> {
    const jobs = await this.#settledFor(() => this.list({ limit: Number.POSITIVE_INFINITY }))
    return tallyAmong(jobs, this.#parts.engine)
  }

  counts(): Promise<Record<JobState, number>> {
    return this.#asking.ask(() => this.#counts())
  }

  async #counts(): Promise<Record<JobState, number>> {
    const { consumer, store } = this.#parts
    await this.#written()
    const counts = await this.#settledFor(() => store.directory.counts())
    counts.running -= consumer.waiting
    counts.available += consumer.waiting
    for (const job of this.#onlyHere()) counts[job.state]++
    return counts
  }

  /** What the store says while nothing is fetched here and nothing ends, as far as that can be had. */
  async #settledFor<T>(ask: () => Promise<T>): Promise<T> {
    const { consumer, engine } = this.#parts
    for (let asked = 1; ; asked++) {
      for (let look = 0; look < 10 && consumer.isFetchUnderWay; look++) await pause(engine.clock, 2)
      const { moves } = consumer
      const answer = await ask()
      if (asked === MOST_RECOUNTS || (moves === consumer.moves && !consumer.isFetchUnderWay)) return answer
    }
  }

  get #asking(): Parts['asking'] {
    return this.#parts.asking
  }

  /** Jobs that the store knows nothing of. */
  #onlyHere(): JobRecord[] {
    const { local } = this.#parts
    return [...local.notStored(), ...local.endedHere.values()]
  }

  #recordOf(found: StoredJob): JobRecord {
    const { consumer, local, settlements, records } = this.#parts
    const leased = consumer.leases.byId.get(found.id)
    if (leased !== undefined) return leased.job
    const ours = local.byId.get(found.id)
    if (ours !== undefined) {
      settlements.take(found)
      return ours
    }
    return records.view(found)
  }
}

interface Place {
  readonly at: number
  readonly id: string
}

function readPlace(place: string): Place {
  const [, at, id] = /^(-?\d+):(.+)$/.exec(place) ?? []
  if (at === undefined || id === undefined) throw badCursor()
  return { at: Number(at), id }
}

/** BullMQ itself keeps when a job that completed was fetched, and when it ended. */
function attemptsIn(stored: StoredJob): AttemptInfo[] {
  const { left, state, claimedAt, endedAt } = stored
  const { e, h = [] } = left
  if (state !== 'completed') return historyOf(h, e, state === 'cancelled')
  return historyOf([...h, [attemptsOf(stored) + 1, 'completed', claimedAt ?? null, endedAt ?? null, null]], e)
}
