/** The jobs of a queue in Redis: BullMQ's own calls, and leases that outlive an absence of the store. */
import { type RawJob, toStored } from '../bullmq-jobs.ts'
import { refusalOf } from '../refusals.ts'
import type { Claimed, LeaseRef, StoredEnding } from '../shared-store.ts'
import { BullmqSource, type SourceParts } from '../source.ts'
import { CLAIM_ASIDE, SET_ASIDE } from './aside.ts'
import { jobIn, RedisEnds, type RedisQueue } from './ends.ts'

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

const UNDER = `
local tokens, found = {}, {}
for at = 2, #ARGV do tokens[ARGV[at]] = true end
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local token = redis.call('GET', ARGV[1] .. id .. ':lock')
  if token and tokens[token] then found[#found + 1] = { id, token } end
end
return found`

/** What BullMQ returns for a claim: the job, its id, the rest of a rate limit, when the next delayed job is due. */
type Fetched = readonly [job?: RawJob | null, id?: string, limit?: number, until?: number]

type Taken = readonly [id: string, token: string, fields: readonly string[]]

/** Claims jobs, renews leases, and writes down what attempts leave behind. */
export class RedisSource extends BullmqSource {
  readonly #of: RedisQueue
  readonly #keys: string
  readonly #ends: RedisEnds

  constructor(parts: SourceParts, of: RedisQueue) {
    super(parts)
    this.#of = of
    this.#keys = `${of.prefix}:${of.queue}:`
    this.#ends = new RedisEnds(of)
  }

  /** True when each end has commands of its own. */
  get isSingle(): boolean {
    return this.#ends.isSingle
  }

  /** One call of BullMQ's for each job: what Redis is given in one turn, it gets in one piece. */
  async claim(tokens: readonly string[]): Promise<{ jobs: readonly Claimed[]; dueAt: number }> {
    this.#ends.flush()
    const asked = tokens.map(async (token) => {
      const fetched = (await this.backend.moveToActive(token, this.parts.name)) as unknown as Fetched
      return { token, fetched }
    })
    const answers = await Promise.allSettled(asked)
    const taken = answers.filter((answer) => answer.status === 'fulfilled').map(({ value }) => value)
    const [failed] = answers.filter((answer) => answer.status === 'rejected')
    if (taken.length === 0) throw failed?.reason
    // BullMQ's answer without a job has an id that is none.
    const jobs = taken.flatMap(({ token, fetched: [json, id] }) =>
      json && id ? { token, job: toStored(this.parts.queue, id, json, 'active', this.parts.wall()) } : [],
    )
    return { jobs, dueAt: Math.max(0, ...taken.map(({ fetched: [, , , until] }) => until ?? 0)) }
  }

  async claimedUnder(tokens: readonly string[]): Promise<readonly Claimed[]> {
    const args = [`${this.#keys}active`, this.#keys, ...tokens]
    const found = (await this.#of.redis.eval(UNDER, 1, ...args)) as [id: string, token: string][]
    const read = found.map(async ([id, token]) => ({ token, job: await this.seen(id) }))
    return (await Promise.all(read)).flatMap(({ token, job }) => (job === undefined ? [] : { token, job }))
  }

  end({ id, token }: LeaseRef, ending: StoredEnding): Promise<Claimed | undefined> {
    return this.#ends.end({ id, token, ...ending })
  }

  async note({ id, token }: LeaseRef, stacktrace: string): Promise<void> {
    const key = this.#keys + id
    if ((await this.#of.redis.eval(NOTE, 2, key, `${key}:lock`, token, stacktrace)) !== 1) throw refusalOf(id)
  }

  async setAside({ id, token }: LeaseRef, task: string): Promise<void> {
    const answer = await this.#of.redis.eval(SET_ASIDE, 1, this.#keys, id, token, task, this.parts.wall())
    if (answer !== 1) throw refusalOf(id)
  }

  async claimAside(tokens: readonly string[], tasks: readonly string[]): Promise<readonly Claimed[]> {
    const { redis, lease, name, queue } = this.#of
    const args = [this.parts.wall(), lease, name, tokens.length, ...tokens, ...tasks]
    const taken = (await redis.eval(CLAIM_ASIDE, 1, this.#keys, ...args)) as Taken[]
    return taken.map(([id, token, fields]) => ({ token, job: jobIn(queue, id, fields, this.parts.wall()) }))
  }

  override async renew(leases: readonly LeaseRef[], milliseconds: number): Promise<readonly string[]> {
    const gone = new Set(await super.renew(leases, milliseconds))
    if (gone.size === 0) return []
    const given = leases
      .filter(({ id }) => gone.has(id))
      .flatMap(({ id, token, starts, stalls }) => [id, token, starts, stalls])
    const lists = [`${this.#keys}active`, `${this.#keys}stalled`]
    return (await this.#of.redis.eval(TAKE_UP, 2, ...lists, this.#keys, milliseconds, ...given)) as string[]
  }
}
