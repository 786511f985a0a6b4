/** The names of all queues under a prefix: BullMQ does not keep them, and jobs may lie in queues of earlier deploys. */
import type { Redis } from 'ioredis'

// Stands among the names once all keys have been looked through. No queue has this name.
const COMPLETE = '*'
const KEYS_AT_A_TIME = 1000

/** Keeps the names of queues. */
export class RedisQueueNames {
  readonly #redis: Redis
  readonly #prefix: string

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis
    this.#prefix = prefix
  }

  get #key(): string {
    return `${this.#prefix}:queues`
  }

  /** Puts names on record. */
  async add(names: readonly string[]): Promise<void> {
    if (names.length > 0) await this.#redis.sadd(this.#key, ...names)
  }

  /** Every name. Those of before names were kept are found by their keys, once for all processes. */
  async all(): Promise<readonly string[]> {
    const names = await this.#redis.smembers(this.#key)
    if (names.includes(COMPLETE)) return names.filter((name) => name !== COMPLETE)
    const found = new Set(names)
    let cursor = '0'
    do {
      const match = `${literal(this.#prefix)}:*:meta`
      const [next, keys] = await this.#redis.scan(cursor, 'MATCH', match, 'COUNT', KEYS_AT_A_TIME)
      for (const key of keys) found.add(key.slice(this.#prefix.length + 1, -':meta'.length))
      cursor = next
    } while (cursor !== '0')
    await this.add([...found, COMPLETE])
    return [...found]
  }
}

/** A prefix in which nothing stands for something else. */
function literal(prefix: string): string {
  return prefix.replace(/[*?[\]\\]/g, '\\$&')
}
