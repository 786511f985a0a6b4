/** The jobs of a queue in Redis: BullMQ's own calls, and leases that outlive an absence of the store. */

import { refusalOf } from '../refusals.ts'
import type { LeaseRef } from '../shared-store.ts'
import { BatchSource } from './batch-source.ts'

const NOTE = `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'stacktrace', ARGV[2])
return 1`

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

/** Renews leases, and writes down what attempts leave behind. */
export class RedisSource extends BatchSource {
  async note({ id, token }: LeaseRef, stacktrace: string): Promise<void> {
    const { redis, keys } = this.connection
    const key = keys + id
    if ((await redis.eval(NOTE, 2, key, `${key}:lock`, token, stacktrace)) !== 1) throw refusalOf(id)
  }

  override async renew(leases: readonly LeaseRef[], milliseconds: number): Promise<readonly string[]> {
    const gone = new Set(await super.renew(leases, milliseconds))
    if (gone.size === 0) return []
    const given = leases
      .filter(({ id }) => gone.has(id))
      .flatMap(({ id, token, starts, stalls }) => [id, token, starts, stalls])
    const { redis, keys } = this.connection
    const lists = [`${keys}active`, `${keys}stalled`]
    return (await redis.eval(TAKE_UP, 2, ...lists, keys, milliseconds, ...given)) as string[]
  }
}
