/**
 * Claiming and ending in PostgreSQL, many jobs in one statement: what takes time there is the commit and what goes with it,
 * and one serves them all.
 */
import type { Pool } from 'pg'
import { toReturnValue, toStored } from '../bullmq-jobs.ts'
import { Gather } from '../gather.ts'
import { codeOf, faultOf, refusalOf } from '../refusals.ts'
import { type Claimed, isBatchLock, type LeaseRef, type StoredEnding } from '../shared-store.ts'
import { BullmqSource, type SourceParts } from '../source.ts'

const COLUMNS = `j.id, j.lock_token, j.name, j.data::text as data, j.progress, j.attempts_made, j.attempts_started,
  j.added_at_ms, j.stalled_count, j.stacktrace::text as stacktrace`
const CLAIM = `select ${COLUMNS} from unnest($2::text[]) as t (token),
  lateral move_to_active($1, t.token, $3, $4, $5, null, null) j`
const UNDER = `select ${COLUMNS} from job j where queue = $1 and state = 'active' and lock_token = any($2)`
const END = `select ${COLUMNS}
  from aftertask.end_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) j`
const SET_ASIDE = 'select aftertask.set_aside($1, $2, $3, $4) as "isDone"'
const CLAIM_ASIDE = `select ${COLUMNS} from aftertask.claim_aside($1, $2, $3, $4, $5) j`
// Of those that wait behind a job that is set aside, so many are looked at for others of its task.
const SWEPT = 1000
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
  keep(): true | { readonly count: number; readonly age?: number }
  /** The time by the store's clock, in milliseconds since 1970. */
  wall(): number
  /** A lock by its name in the whole database. */
  lockOf(lock: string): string
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

interface End extends StoredEnding {
  readonly id: string
  readonly token: string
}

/** Claims and ends many jobs at a time. */
export class PostgresSource extends BullmqSource {
  readonly #pool: Pool
  readonly #of: PostgresQueue
  readonly #gather: Gather<End, Claimed | undefined>

  constructor(parts: SourceParts, pool: Pool, of: PostgresQueue) {
    super(parts)
    this.#pool = pool
    this.#of = of
    this.#gather = new Gather({
      most: Number.POSITIVE_INFINITY,
      atOnce: STATEMENTS,
      send: (ends) => this.#endMany(ends),
      // What is wrong with one, such as a lost lease, undoes them all.
      hasUndone: (fault) =>
        Reflect.get(fault as object, 'severity') === 'ERROR' || codeOf(fault) !== undefined,
    })
  }

  async claim(tokens: readonly string[]): Promise<{ jobs: readonly Claimed[]; dueAt: number }> {
    const { name, lease } = this.#of
    const given = [name, tokens, lease, this.parts.wall(), this.parts.name]
    const { rows } = await this.#pool.query<Row>(CLAIM, given)
    return { jobs: rows.map((row) => this.#read(row)), dueAt: 0 }
  }

  async claimedUnder(tokens: readonly string[]): Promise<readonly Claimed[]> {
    const { rows } = await this.#pool.query<Row>(UNDER, [this.#of.name, tokens])
    return rows.map((row) => this.#read(row))
  }

  end({ id, token }: LeaseRef, ending: StoredEnding): Promise<Claimed | undefined> {
    return this.#gather.add({ id, token, ...ending })
  }

  async #endMany(ends: readonly End[]): Promise<(Claimed | undefined)[]> {
    try {
      const { rows } = await this.#pool.query<Row>(END, endArguments(this.#of, ends, this.parts.name))
      const next = new Map(rows.map((row) => [row.lock_token, this.#read(row)]))
      return ends.map(({ token }) => next.get(token))
    } catch (error) {
      throw isBullmqs(error)
        ? faultOf(ends[0]?.id ?? '', Number(Reflect.get(error as object, 'detail')))
        : error
    }
  }

  async setAside({ id, token }: LeaseRef): Promise<void> {
    const { rows } = await this.#pool.query<{ isDone: boolean }>(SET_ASIDE, [this.#of.name, id, token, SWEPT])
    if (rows[0]?.isDone !== true) throw refusalOf(id)
  }

  async claimAside(tokens: readonly string[], tasks: readonly string[]): Promise<readonly Claimed[]> {
    const given = [this.#of.name, tasks, tokens, this.#of.lease, this.parts.name]
    const { rows } = await this.#pool.query<Row>(CLAIM_ASIDE, given)
    return rows.map((row) => this.#read(row))
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
    return {
      token: row.lock_token,
      job: toStored(this.parts.queue, row.id, raw, 'active', this.parts.wall()),
    }
  }
}

/** What `aftertask.end_many` is called with. */
export function endArguments(
  { name, lease, keep: keepNow, wall, lockOf }: PostgresQueue,
  ends: readonly End[],
  claimer: string,
): unknown[] {
  const lockIn = ({ locks }: End, isLine: boolean): string | null => {
    const lock = locks.find((one) => isBatchLock(one) === isLine)
    return lock === undefined ? null : lockOf(lock)
  }
  const valueFor = ({ state, result, left }: End): string =>
    state === 'completed' ? toReturnValue(result, true) : (left?.reason ?? '')
  const keep = keepNow()
  const [age, count] = keep === true ? [null, null] : [keep.age ?? null, keep.count]
  return [
    name,
    ends.map(({ id }) => id),
    ends.map(({ token }) => token),
    ends.map(valueFor),
    ends.map(({ state, left }) => (state === 'completed' ? null : (left?.stacktrace ?? '[]'))),
    ends.map((end) => lockIn(end, true)),
    ends.map((end) => lockIn(end, false)),
    ends.map(({ stops }) => stops),
    ends.map(({ fetchNext }) => fetchNext),
    ...[wall(), keep === true, age, count, lease, claimer],
  ]
}

/** True for a refusal of BullMQ's functions, whose code is its detail. */
function isBullmqs(error: unknown): boolean {
  return Reflect.get(error as object, 'code') === 'BM001'
}
