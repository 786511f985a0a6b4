/** Fetching in Redis: BullMQ's own calls, and leases that outlive an absence of the store. */
import type { IQueueBackend } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Held } from './fetcher.ts'
import { type Connection, TogetherFetcher } from './together-fetcher.ts'

/**
 * A lease is a key that vanishes with its time, also while Redis is away. A job that still lies among the running ones, was
 * not started since, and was not taken for one of a dead process, is with whoever started it last.
 */
const TAKE_UP = `
local running = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do running[id] = true end
local refused = {}
for at = 3, #ARGV, 4 do
  local id, token = ARGV[at], ARGV[at + 1]
  local job = ARGV[1] .. id
  local seen = redis.call('HMGET', job, 'ats', 'stc')
  local isSame = tonumber(seen[1] or 0) == tonumber(ARGV[at + 2]) and tonumber(seen[2] or 0) == tonumber(ARGV[at + 3])
  local isFree = redis.call('EXISTS', job .. ':lock') == 0
  if running[id] and isSame and isFree then
    redis.call('SET', job .. ':lock', token, 'PX', ARGV[2])
    redis.call('SREM', KEYS[2], id)
  else
    refused[#refused + 1] = id
  end
end
return refused`

/** Fetches, completes and renews. */
export class RedisFetcher extends TogetherFetcher {
  readonly #redis: Redis
  readonly #key: string

  /** `key`: what the keys of the queue start with. */
  constructor(backend: IQueueBackend, name: string, connection: Connection, key: string) {
    super(backend, name, connection)
    this.#redis = connection.redis
    this.#key = key
  }

  override async renew(held: readonly Held[], length: number): Promise<readonly string[]> {
    const gone = new Set(await super.renew(held, length))
    if (gone.size === 0) return []
    const given = held
      .filter(({ id }) => gone.has(id))
      .flatMap(({ id, token, starts, stalls }) => [id, token, starts, stalls])
    const keys = [`${this.#key}active`, `${this.#key}stalled`]
    return (await this.#redis.eval(TAKE_UP, 2, ...keys, this.#key, length, ...given)) as string[]
  }
}
