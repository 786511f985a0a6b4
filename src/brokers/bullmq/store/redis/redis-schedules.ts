/** Schedules in Redis: one hash, a field for each, and a key with an end for whoever is making a run. */
import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { StoredSchedule } from '../../../port/schedules.ts'
import type { ScheduleTable } from '../shared-store.ts'

// A field is the next time, a space, and the definition.
const PUT = `
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old and string.match(old, '^%S+ (.*)$') == ARGV[3] then return end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('DEL', KEYS[2])`
const TAKE = `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local owner = redis.call('GET', KEYS[2])
if owner and owner ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1`
const ERA = `
local era = redis.call('GET', KEYS[1])
if era then return era end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]`
const RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
const MADE = `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('DEL', KEYS[2])`

/** The schedules of a prefix, over a connection of ioredis. */
export class RedisSchedules implements ScheduleTable {
  readonly #redis: Redis
  readonly #key: string

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis
    // In a cluster all keys of a command have to be on one node: the braces see to that.
    this.#key = `${prefix}:{schedules}`
  }

  async all(): Promise<readonly StoredSchedule[]> {
    return Object.entries(await this.#redis.hgetall(this.#key)).map(([id, text]) => fromText(id, text))
  }

  async era(): Promise<string> {
    return String(await this.#redis.eval(ERA, 1, `${this.#key}.era`, randomUUID()))
  }

  async put({ id, definition, nextAt }: StoredSchedule): Promise<void> {
    await this.#redis.eval(PUT, 2, this.#key, this.#turn(id), id, String(nextAt), definition)
  }

  async remove(id: string): Promise<void> {
    await this.#redis.multi().hdel(this.#key, id).del(this.#turn(id)).exec()
  }

  async take(schedule: StoredSchedule, owner: string, milliseconds: number): Promise<boolean> {
    const { id } = schedule
    const keys = [this.#key, this.#turn(id)]
    return (await this.#redis.eval(TAKE, 2, ...keys, id, toText(schedule), owner, milliseconds)) === 1
  }

  async release(id: string, owner: string): Promise<void> {
    await this.#redis.eval(RELEASE, 1, this.#turn(id), owner)
  }

  async made(schedule: StoredSchedule, nextAt: number): Promise<void> {
    const { id } = schedule
    const keys = [this.#key, this.#turn(id)]
    await this.#redis.eval(MADE, 2, ...keys, id, toText(schedule), toText({ ...schedule, nextAt }))
  }

  #turn(id: string): string {
    return `${this.#key}:${id}`
  }
}

function toText({ definition, nextAt }: StoredSchedule): string {
  return `${nextAt} ${definition}`
}

function fromText(id: string, text: string): StoredSchedule {
  const end = text.indexOf(' ')
  return { id, nextAt: Number(text.slice(0, end)), definition: text.slice(end + 1) }
}
