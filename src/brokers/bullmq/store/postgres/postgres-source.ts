/**
 * Fetching and completing in PostgreSQL, many jobs in one statement: what takes time there is the commit and what goes
 * with it, and one serves them all. The statements call BullMQ's own functions, once for each job.
 */
import type { Pool } from 'pg'
import { toStored } from '../bullmq-jobs.ts'
import { refusalOf } from '../refusals.ts'
import type { Claimed, Completion, LeaseRef } from '../shared-store.ts'
import { SingleSource, type SourceParts } from '../single-source.ts'

const COLUMNS = `j.id, j.lock_token, j.name, j.data::text as data, j.progress, j.attempts_made, j.attempts_started,
  j.added_at_ms, j.stalled_count, j.stacktrace::text as stacktrace`
const CLAIM = `select ${COLUMNS} from unnest($2::text[]) as t (token),
  lateral move_to_active($1, t.token, $3, $4, $5, null, null) j`
// Old jobs are removed once, with the last of them.
const GIVEN = `$1, d.id, d.token, d.value::jsonb, $5, $6,
  case when d.n = $9 then $7::bigint end, case when d.n = $9 then $8::integer end`
const COMPLETED = 'unnest($2::text[], $3::text[], $4::text[]) with ordinality as d (id, token, value, n)'
const COMPLETE = `select move_to_completed(${GIVEN}) from ${COMPLETED}`
const COMPLETE_AND_FETCH = `select ${COLUMNS} from ${COMPLETED},
  lateral move_to_completed_fetch(${GIVEN}, $10, $11, $12, null, null) j`
// Only what was claimed since: the token may have belonged to a job that is about to be written.
const UNHEARD = `update job j set locked_until_ms = $4
  from unnest($2::text[], $3::text[]) as t (token, before)
  where j.queue = $1 and j.state = 'active' and j.lock_token = t.token and j.id <> t.before
  returning ${COLUMNS}`

const NOTE = `update job set stacktrace = $4::jsonb
  where queue = $1 and id = $2 and state = 'active' and lock_token = $3`

// One job that ends does not wait for the commit of another.
const STATEMENTS = 2

/** What is fixed for a queue. */
export interface PostgresQueue {
  /** By which BullMQ knows it. */
  readonly name: string
  /** Milliseconds. */
  readonly lease: number
  readonly keep: true | { readonly count: number; readonly age?: number }
}

interface Row {
  readonly id: string
  readonly lock_token: string
  readonly name: string
  readonly data: string
  readonly progress: unknown
  readonly attempts_made: number
  readonly attempts_started: number
  readonly added_at_ms: string
  readonly stalled_count: number
  readonly stacktrace: string | null
}

interface Waiting extends Completion {
  readonly done: PromiseWithResolvers<Claimed | undefined>
}

/** Claims and completes many jobs at a time. */
export class PostgresSource extends SingleSource {
  readonly #pool: Pool
  readonly #of: PostgresQueue
  /** Tokens that a job may have been claimed for without our hearing of it, and the ids of the jobs that had them before. */
  readonly #unheard = new Map<string, string>()
  /** Tokens under which an end is being written, whose answer may bring a job as well. */
  readonly #writing = new Set<string>()
  /** Those of the ends that were begun to be written since the last look for what was not heard of. */
  readonly #writtenSince = new Set<string>()
  #completed: Waiting[] = []
  #statements = 0

  constructor(parts: SourceParts, pool: Pool, of: PostgresQueue) {
    super(parts)
    this.#pool = pool
    this.#of = of
  }

  override async claim(tokens: readonly string[]): Promise<{ jobs: readonly Claimed[]; dueAt: number }> {
    const { name, lease } = this.#of
    const unheard = await this.#claimUnheard()
    if (unheard.length > 0) return { jobs: unheard, dueAt: 0 }
    try {
      const given = [name, tokens, lease, Date.now(), this.parts.name]
      const { rows } = await this.#pool.query<Row>(CLAIM, given)
      return { jobs: rows.map((row) => this.#read(row)), dueAt: 0 }
    } catch (error) {
      if (mayBeDone(error)) for (const token of tokens) this.#unheard.set(token, '')
      throw error
    }
  }

  /** What the answers would have brought that got lost with their connections. */
  async #claimUnheard(): Promise<readonly Claimed[]> {
    if (this.#unheard.size === 0) return []
    const { name, lease } = this.#of
    // An end that is tried again under the same token may fetch a job at this very moment: it comes with that answer, and
    // a second time with this one it would run twice.
    const unheard = [...this.#unheard].filter(([token]) => !this.#writing.has(token))
    if (unheard.length === 0) return []
    this.#writtenSince.clear()
    const [tokens, before] = [unheard.map(([token]) => token), unheard.map(([, id]) => id)]
    const { rows } = await this.#pool.query<Row>(UNHEARD, [name, tokens, before, Date.now() + lease])
    for (const token of tokens) if (!this.#writtenSince.has(token)) this.#unheard.delete(token)
    const isNews = ({ lock_token }: Row): boolean => !this.#writtenSince.has(lock_token)
    return rows.filter(isNews).map((row) => this.#read(row))
  }

  override complete(job: Completion): Promise<Claimed | undefined> {
    const done = Promise.withResolvers<Claimed | undefined>()
    this.#completed.push({ ...job, done })
    // Jobs of one bundle end in one turn.
    if (this.#completed.length === 1) setImmediate(() => void this.#write())
    return done.promise
  }

  /** What comes while statements are under way goes with the next. */
  async #write(): Promise<void> {
    if (this.#statements >= STATEMENTS || this.#completed.length === 0) return
    this.#statements++
    const jobs = this.#completed
    this.#completed = []
    const alone = jobs.filter(({ fetchNext }) => !fetchNext)
    const fetching = jobs.filter(({ fetchNext }) => fetchNext)
    await Promise.all([alone, fetching].map((some) => this.#writeTogether(some)))
    this.#statements--
    await this.#write()
  }

  async #writeTogether(jobs: readonly Waiting[]): Promise<void> {
    if (jobs.length === 0) return
    for (const { token } of jobs) {
      this.#writing.add(token)
      this.#writtenSince.add(token)
    }
    await this.#writeThem(jobs)
    for (const { token } of jobs) this.#writing.delete(token)
  }

  async #writeThem(jobs: readonly Waiting[]): Promise<void> {
    try {
      const next = await this.#query(jobs)
      for (const { token, done } of jobs) {
        this.#unheard.delete(token)
        done.resolve(next.get(token))
      }
    } catch (error) {
      if (mayBeDone(error)) {
        for (const { id, token, fetchNext, done } of jobs) {
          if (fetchNext) this.#unheard.set(token, id)
          done.reject(error)
        }
        return
      }
      // What is wrong with one, such as a lost lease, undoes them all: each is asked for by itself.
      await Promise.all(jobs.map((job) => this.#writeAlone(job)))
    }
  }

  async #query(jobs: readonly Waiting[]): Promise<Map<string, Claimed>> {
    const { name, lease, keep } = this.#of
    const now = Date.now()
    const [age, count] = keep === true ? [null, null] : [keep.age ?? null, keep.count]
    const ids = jobs.map(({ id }) => id)
    const tokens = jobs.map(({ token }) => token)
    const values = jobs.map(({ result }) => JSON.stringify(result))
    const given = [name, ids, tokens, values, now, keep === true, age, count, jobs.length]
    if (jobs[0]?.fetchNext !== true) {
      await this.#pool.query(COMPLETE, given)
      return new Map()
    }
    const { rows } = await this.#pool.query<Row>(COMPLETE_AND_FETCH, [...given, lease, now, this.parts.name])
    return new Map(rows.map((row) => [row.lock_token, this.#read(row)]))
  }

  async note({ id, token }: LeaseRef, stacktrace: string): Promise<void> {
    const { rowCount } = await this.#pool.query(NOTE, [this.#of.name, id, token, stacktrace])
    if (rowCount !== 1) throw refusalOf(id)
  }

  #read(row: Row): Claimed {
    const raw = {
      ...{ name: row.name, data: row.data, timestamp: Number(row.added_at_ms), stacktrace: row.stacktrace },
      attemptsStarted: row.attempts_started,
      stalledCounter: row.stalled_count,
      progress: row.progress ?? 0,
    }
    return { token: row.lock_token, job: toStored(this.parts.queue, row.id, raw, 'active', Date.now()) }
  }

  async #writeAlone(job: Waiting): Promise<void> {
    try {
      job.done.resolve(await this.completeAlone(job))
    } catch (error) {
      job.done.reject(error as Error)
    }
  }
}

/** Without a word from the store it may be written or not: whoever tries again has to find out. */
function mayBeDone(error: unknown): boolean {
  return Reflect.get(error as object, 'severity') !== 'ERROR'
}
