/** Schedules in PostgreSQL: a table of our own. */
import type { Pool } from 'pg'
import type { StoredSchedule } from '../../../port/schedules.ts'
import type { ScheduleTable } from '../shared-store.ts'

/** Makes the table, unless it is there. */
export const SCHEDULES_TABLE = `
create table if not exists aftertask.schedules (
  prefix text, id text, definition text not null, next_at double precision not null,
  owner text, owner_until timestamptz, primary key (prefix, id))`
const ALL =
  'select id, definition, next_at as "nextAt" from aftertask.schedules where prefix = $1 order by id'
// Tables that are made anew, or restored from a copy, have other numbers.
const ERA = "select 'aftertask.schedules'::regclass::oid::text as era"
const PUT = `insert into aftertask.schedules as s (prefix, id, definition, next_at) values ($1, $2, $3, $4)
  on conflict (prefix, id) do update
  set definition = excluded.definition, next_at = excluded.next_at, owner = null, owner_until = null
  where s.definition <> excluded.definition`
const REMOVE = 'delete from aftertask.schedules where prefix = $1 and id = $2'
const AS_GIVEN = 'prefix = $1 and id = $2 and definition = $3 and next_at = $4'
const TAKE = `update aftertask.schedules
  set owner = $5, owner_until = clock_timestamp() + $6 * interval '1 millisecond'
  where ${AS_GIVEN} and (owner is null or owner = $5 or owner_until < clock_timestamp())`
const RELEASE = `update aftertask.schedules set owner = null, owner_until = null
  where prefix = $1 and id = $2 and owner = $3`
const MADE = `update aftertask.schedules set next_at = $5, owner = null, owner_until = null where ${AS_GIVEN}`
// BullMQ writes a row for each unique key with an end, and removes none that has come to it.
const FORGET_KEYS = `delete from dedup
  where expire_at_ms < extract(epoch from clock_timestamp() - interval '1 minute') * 1000`

/** The schedules of a prefix, over a pool of pg. */
export class PostgresSchedules implements ScheduleTable {
  readonly #pool: Pool
  readonly #prefix: string

  constructor(pool: Pool, prefix: string) {
    this.#pool = pool
    this.#prefix = prefix
  }

  async all(): Promise<readonly StoredSchedule[]> {
    const { rows } = await this.#pool.query(ALL, [this.#prefix])
    return rows as StoredSchedule[]
  }

  async era(): Promise<string> {
    const { rows } = await this.#pool.query<{ era: string }>(ERA)
    return rows[0]?.era ?? ''
  }

  async put({ id, definition, nextAt }: StoredSchedule): Promise<void> {
    await this.#pool.query(PUT, [this.#prefix, id, definition, nextAt])
  }

  async remove(id: string): Promise<void> {
    await this.#pool.query(REMOVE, [this.#prefix, id])
  }

  async take(schedule: StoredSchedule, owner: string, milliseconds: number): Promise<boolean> {
    const { rowCount } = await this.#pool.query(TAKE, [...this.#asGiven(schedule), owner, milliseconds])
    return rowCount === 1
  }

  async release(id: string, owner: string): Promise<void> {
    await this.#pool.query(RELEASE, [this.#prefix, id, owner])
  }

  async made(schedule: StoredSchedule, nextAt: number): Promise<void> {
    await this.#pool.query(MADE, [...this.#asGiven(schedule), nextAt])
    await this.#pool.query(FORGET_KEYS)
  }

  #asGiven({ id, definition, nextAt }: StoredSchedule): unknown[] {
    return [this.#prefix, id, definition, nextAt]
  }
}
