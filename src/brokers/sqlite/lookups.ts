/** What is asked about jobs: the record that is at hand where it knows more than the file, its row where not. */
import type { JobRecord } from '../../rules/job-record.ts'
import {
  type AttemptRow,
  AVAILABLE,
  COMPLETED,
  DEAD,
  errorFromText,
  type Row,
  STATES,
} from '../../rules/journal-protocol.ts'
import type { JournalSearch } from '../../rules/journal-search.ts'
import { type KeptLog, linesFromText } from '../../rules/log-lines.ts'
import { JobForgottenError } from '../../words/errors.ts'
import { type AttemptInfo, type AttemptOutcome, isTerminal, type JobState } from '../../words/job.ts'
import { attemptInfo } from '../lifecycle/attempts.ts'
import { asksForContents, numberIn } from '../lifecycle/job-search.ts'
import type { JobFilter } from '../port/broker.ts'
import type { BrokerHost } from '../port/host.ts'
import type { Found, JobSearch } from '../port/search.ts'
import type { TaskTally } from '../port/tally.ts'
import type { Connection } from './connection.ts'
import type { JobsHere } from './jobs-here.ts'

// Who loses more will not read all of them.
const MOST_LOST = 10_000
// Milliseconds that the journal gives a search at a time.
const SLICE = 8

/** Finds jobs wherever they are. */
export class Lookups {
  readonly #host: BrokerHost
  readonly #connection: Connection
  readonly #jobs: JobsHere
  readonly #isShared: boolean

  constructor(host: BrokerHost, connection: Connection, jobs: JobsHere, isShared: boolean) {
    this.#host = host
    this.#connection = connection
    this.#jobs = jobs
    this.#isShared = isShared
  }

  get(seq: number): JobRecord | undefined {
    const { records } = this.#jobs
    const job = records.get(seq)
    // What is on disk only may have changed there; its row is asked for.
    return job !== undefined && (records.window.has(seq) || isTerminal(job.state)) ? job : undefined
  }

  /** The record that is told of what becomes of the job, for one that may not be. */
  current(job: JobRecord): JobRecord {
    // A dead job that was revived goes on under another record.
    if (job.extras?.isEvicted !== true && job.state !== 'dead') return job
    const { records } = this.#jobs
    const atHand = records.get(job.seq)
    if (atHand !== undefined) return atHand
    if (job.state === 'dead') {
      if (!records.revived.has(job.seq)) return job
      job.state = 'available'
    }
    void this.#recall(job)
    return job
  }

  async find(id: string): Promise<JobRecord | undefined> {
    const row = await this.#connection.ask('find', id)
    return row === null ? undefined : this.#asItIs(row)
  }

  async list(filter: JobFilter): Promise<readonly JobRecord[]> {
    const wanted = filter.state === undefined ? null : new Set([filter.state].flat())
    const states = wanted === null ? null : [...wanted].map((state) => STATES.indexOf(state))
    // What runs here is on record as granted, until it is over.
    if (states !== null && wanted?.has('running') && !wanted.has('available'))
      states.push(STATES.indexOf('available'))
    const limit = filter.limit ?? 100
    const rows = await this.#connection.ask('list', {
      states,
      task: filter.task ?? null,
      limit: limit + this.#jobs.ready.running,
    })
    const jobs = rows.map((row) => this.#asItIs(row))
    return jobs.filter((job) => wanted === null || wanted.has(job.state)).slice(0, limit)
  }

  async search(search: JobSearch): Promise<Found> {
    const { clock } = this.#host
    const most = asksForContents(search) ? clock.now() + search.budget : Number.POSITIVE_INFINITY
    const asked = askedOf(search)
    const jobs: { readonly job: JobRecord; readonly place: number }[] = []
    let searched = 0
    let after = numberIn(search.after) ?? null
    for (;;) {
      // One more than that: it tells whether there is a next page.
      const limit = search.limit - jobs.length + 1
      const found = await this.#connection.ask('search', { ...asked, after, limit })
      searched += found.searched
      for (const [at, row] of found.rows.entries()) {
        const job = this.#look(row)
        const place = found.places[at] as number
        if (search.states === undefined || search.states.includes(job.state)) jobs.push({ job, place })
      }
      after = found.next
      if (jobs.length > search.limit || after === null || clock.now() >= most) break
    }
    const page = jobs.slice(0, search.limit)
    const next = jobs.length > search.limit ? (page.at(-1)?.place ?? numberIn(search.after) ?? null) : after
    return { jobs: page.map(({ job }) => job), searched, next: next === null ? undefined : String(next) }
  }

  async tally(): Promise<readonly TaskTally[]> {
    const rows = await this.#connection.ask('tally', null)
    const byTask = new Map<string, Counting>()
    for (const [task, pool, state, count, ready] of rows) {
      const counting = counted(byTask, task, pool ?? undefined)
      const name = STATES[state] as JobState
      counting.states[name] = (counting.states[name] ?? 0) + count
      counting.oldest = least(counting.oldest, ready ?? undefined)
    }
    const { records } = this.#jobs
    for (const { entry, state, readyAt } of records.window.values()) {
      const { name, policy } = entry.task
      const counting = counted(byTask, name, policy.pool)
      if (state === 'available') counting.oldest = least(counting.oldest, records.wall(readyAt))
      // What runs here is on record as granted, until it is over.
      if (state === 'running') counting.running++
    }
    return [...byTask].map(([task, { pool, states, oldest, running }]) => {
      const claimable = (states.available ?? 0) + (states.running ?? 0)
      const here = this.#isShared
        ? states
        : { ...states, running, available: Math.max(0, claimable - running) }
      return { task, pool, states: here, oldest: oldest === undefined ? undefined : Math.round(oldest) }
    })
  }

  async counts(): Promise<Record<JobState, number>> {
    const counts = await this.#connection.ask('counts', null)
    const named = Object.fromEntries(STATES.map((state, index) => [state, counts[index] ?? 0])) as Record<
      JobState,
      number
    >
    if (this.#isShared) return named
    const { running } = this.#jobs.ready
    const claimable = named.available + named.running
    return { ...named, running, available: claimable - running }
  }

  async history(job: JobRecord): Promise<readonly AttemptInfo[]> {
    return (await this.#connection.ask('history', job.seq)).map(attemptInfoOf)
  }

  /** What is kept of a job's lines. Those on their way go first. */
  async logs(job: JobRecord): Promise<KeptLog> {
    this.#jobs.logs.write(this.#jobs.records.get(job.seq) ?? job)
    const rows = await this.#connection.ask('logs', job.seq)
    return { lines: rows.flatMap(({ text }) => linesFromText(text)), dropped: rows[0]?.dropped ?? 0 }
  }

  /** Forgets a job that is over; false when it is not. */
  async remove(job: JobRecord): Promise<boolean> {
    const isGone = await this.#connection.ask('remove', job.seq)
    if (isGone) this.#jobs.records.removed(job)
    return isGone
  }

  /** The file is gone: what is unfinished there is lost with this process, and is told to be. */
  async loseAll(): Promise<void> {
    const states = [...STATES.keys()].filter((state) => state < COMPLETED)
    const asked = this.#connection.isOpen
      ? this.#connection.ask('list', { states, task: null, limit: MOST_LOST }).catch(() => undefined)
      : undefined
    const rows = await asked
    for (const row of rows ?? []) {
      const job = this.#asItIs(row)
      if (job !== undefined) this.#jobs.loseForGood(job)
    }
    const { adding, records } = this.#jobs
    const isKnown = rows !== undefined && rows.length < MOST_LOST
    for (const job of [...records.window.values(), ...records.kept.values()]) {
      // A handle that had not heard of the job's end has spoken. That was told at its time: it is not among those above.
      if (isKnown && isTerminal(job.state) && !adding.has(job)) this.#jobs.overElsewhere(job)
      else this.#jobs.loseForGood(job)
    }
  }

  /** A job that waits on disk is asked about: from now on its record is told of what becomes of it. */
  async #recall(job: JobRecord): Promise<void> {
    const { records } = this.#jobs
    const { more } = job
    more.isEvicted = false
    more.isStale = true
    records.kept.set(job.seq, job)
    const row = await this.#connection.rowOf(job.seq)
    if (row === undefined && this.#jobs.isOver) return this.#jobs.lostOnDisk(job)
    // Granted meanwhile, with its row; or nobody can be asked any more.
    if (row === undefined || records.get(job.seq) !== job || records.window.has(job.seq)) return
    if (row === null) return this.#forgotten(job)
    // Cancelled meanwhile, which is on its way.
    if (isTerminal(job.state)) return records.recount(job, row)
    records.update(job, row)
    if (row[3] < COMPLETED) return
    records.forget(job)
    this.#host.settledLate(job)
  }

  /** The job is over, and the file keeps it no more: nobody knows how it ended. */
  #forgotten(job: JobRecord): void {
    if (isTerminal(job.state)) return
    const { more } = job
    job.state = 'cancelled'
    job.readyAt = Math.round(this.#host.clock.now())
    more.reason = 'forgotten'
    more.errors = [new JobForgottenError(job.entry.task.name)]
    this.#jobs.records.forget(job)
    this.#host.settledLate(job)
  }

  /** A row of a list as a record to look at: the one that is at hand if it knows more than the file. */
  #look(row: Row): JobRecord {
    const { records } = this.#jobs
    const known = records.get(row[0]) ?? (row[3] === DEAD ? records.deadAndHeld(row[0]) : undefined)
    if (known === undefined) return records.view(row)
    const isAhead = records.window.has(row[0]) || isTerminal(known.state) || known.state === 'held'
    return isAhead || this.#jobs.isReleasing(known) ? known : records.view(row)
  }

  /** A row as its record: the one that is at hand, if it knows more than the file. */
  #asItIs(row: Row): JobRecord {
    const { records } = this.#jobs
    const known = records.get(row[0]) ?? (row[3] === DEAD ? records.deadAndHeld(row[0]) : undefined)
    if (known === undefined) return records.view(row)
    const isAhead = records.window.has(row[0]) || isTerminal(known.state) || known.state === 'held'
    // Of one that was just released, or revived, the file does not know that yet.
    if (isAhead || this.#jobs.isReleasing(known)) return known
    // Its end is yet to be told, on the record that is at hand.
    if (row[3] >= COMPLETED) return records.view(row)
    records.update(known, row)
    return known
  }
}

interface Counting {
  readonly pool: string | undefined
  readonly states: Partial<Record<JobState, number>>
  oldest: number | undefined
  running: number
}

function counted(byTask: Map<string, Counting>, task: string, pool: string | undefined): Counting {
  const known = byTask.get(task)
  if (known !== undefined) return known
  const counting: Counting = { pool, states: {}, oldest: undefined, running: 0 }
  byTask.set(task, counting)
  return counting
}

function least(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other)
}

/** What the journal is asked for. */
function askedOf(search: JobSearch): Omit<JournalSearch, 'after' | 'limit'> {
  const { states, tasks, pools, key, batch, since, until, endedSince, endedUntil, order } = search
  const { requestId, error, payload, text } = search
  return {
    states: states === undefined ? null : onRecord(states),
    tasks: tasks ?? null,
    pools: pools ?? null,
    key: key ?? null,
    batch: batch ?? null,
    since: since ?? null,
    until: until ?? null,
    endedSince: endedSince ?? null,
    endedUntil: endedUntil ?? null,
    contents: {
      ...(requestId !== undefined && { requestId }),
      ...(error !== undefined && { error }),
      ...(payload !== undefined && { payload }),
      ...(text !== undefined && { text }),
    },
    order,
    slice: SLICE,
  }
}

/** The states in which jobs are on record that are in one of these: what runs here is granted there until it is over. */
function onRecord(states: readonly JobState[]): number[] {
  const numbers = new Set(states.map((state) => STATES.indexOf(state)))
  if (states.includes('running')) numbers.add(AVAILABLE)
  return [...numbers]
}

function attemptInfoOf({ attempt, outcome, started, ended, thread, cpu, error }: AttemptRow): AttemptInfo {
  return attemptInfo({
    attempt,
    outcome: outcome as AttemptOutcome,
    started: started ?? undefined,
    ended: ended ?? undefined,
    thread: thread ?? undefined,
    cpu: cpu ?? undefined,
    error: error === null ? undefined : errorFromText(error),
  })
}
