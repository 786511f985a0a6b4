/** The store in Redis or Valkey. */
import type { IQueueBackend, Queue } from 'bullmq'
import type { Redis, RedisOptions } from 'ioredis'
import type { BullmqSettings } from '../../options.ts'
import { BullmqStore } from '../bullmq-store.ts'
import { peer } from '../peers.ts'
import { backendOptions, keepOf } from '../queue-options.ts'
import type { JobSource, Opening, Place } from '../shared-store.ts'
import { writeTogether } from './coalesce.ts'
import { type Script, scriptsOf } from './complete-many.ts'
import { RedisSchedules } from './redis-schedules.ts'
import { RedisSource } from './redis-source.ts'

// Members are scored by when they came, each later than the one before it, so that the order is kept within a millisecond.
const JOIN = `
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local at = tonumber(ARGV[2])
if last[2] and tonumber(last[2]) >= at then at = tonumber(last[2]) + 0.01 end
redis.call('ZADD', KEYS[1], 'NX', at, ARGV[1])
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {head[1], head[2], redis.call('EXISTS', KEYS[2])}`
const LEAVE = `
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[2] == '1' then redis.call('SET', KEYS[2], '1', 'PX', 86400000) end
return redis.call('ZRANGE', KEYS[1], 0, 0)[1]`

/** Redis and Valkey, through ioredis. */
export class RedisStore extends BullmqStore {
  readonly isOrdered = true
  readonly #queues = new Map<string, Queue>()
  readonly #backends: IQueueBackend[] = []
  #redis!: Redis
  #listener!: Redis
  #bullmq!: typeof import('bullmq')
  #letGo!: () => void
  #scripts!: ReadonlyMap<string, Script>
  /** Rejects: a connection that is closed between two tries to connect says nothing. */
  readonly #closed = Promise.withResolvers<never>()

  constructor(settings: BullmqSettings) {
    super(settings)
    // It may be that nobody waits for it.
    this.#closed.promise.catch(() => {})
  }

  protected async connect({ events, topics }: Opening): Promise<void> {
    this.#bullmq = await peer('bullmq', () => import('bullmq'))
    const ioredis = await peer('ioredis', () => import('ioredis'))
    const { connection } = this.settings
    if (this.isClosed) return this.#closed.promise
    // BullMQ needs `null`: a command waits for the connection instead of failing after some tries.
    const own: RedisOptions = {
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 5), 500),
    }
    this.#redis =
      typeof connection === 'string'
        ? new ioredis.Redis(connection.replace(/^valkey/, 'redis'), own)
        : new ioredis.Redis({ ...(connection as RedisOptions), ...own })
    this.#letGo = writeTogether(this.#redis)
    this.#scripts = scriptsOf(this.#redis)
    this.#listener = this.#redis.duplicate()
    let fault: Error = new Error('The connection is closed.')
    this.#redis.on('error', (error: Error) => {
      fault = error
    })
    this.#redis.on('close', () => void (this.isClosed || events.down(fault)))
    this.#redis.on('ready', () => void (this.isClosed || events.up()))
    // What it hears of the connection, the other one hears as well.
    this.#listener.on('error', () => {})
    this.#listener.on('message', (channel, text) => events.message(channel, text))
    await Promise.race([this.#untilReady(), this.#closed.promise])
    const keys = topics.map((topic) => this.#key(topic))
    await Promise.race([this.#listener.subscribe(...keys), this.#closed.promise])
    // What was sent before it listens again has not come: whoever missed it is told to look for itself.
    const heardAgain = (): void => void (this.isClosed || this.#redis.status !== 'ready' || events.up())
    this.#listener.on('ready', () => void this.#listener.subscribe(...keys).then(heardAgain, () => {}))
  }

  #untilReady(): Promise<void> {
    if (this.#redis.status === 'ready') return Promise.resolve()
    return new Promise((resolve) => void this.#redis.once('ready', resolve))
  }

  queue(name: string): Queue {
    const known = this.#queues.get(name)
    if (known !== undefined) return known
    const queue = new this.#bullmq.Queue(name, this.#options() as never)
    queue.on('error', () => {})
    this.#queues.set(name, queue)
    return queue
  }

  source(queue: string, name: string): JobSource {
    // What is fetched with the end of another job gets its name from the options.
    const options = { ...this.#options(), name }
    const backend = this.#bullmq.createRedisBackend(queue, options as never, { withBlockingConnection: true })
    backend.on('error', () => {})
    this.#backends.push(backend)
    const keys = `${this.settings.prefix}:${queue}:`
    const connection = { redis: this.#redis, scripts: this.#scripts, letGo: this.#letGo, keys }
    return new RedisSource({ queue, name, ended: this.ended, backend: () => backend }, connection)
  }

  #options(): object {
    const { lease, prefix } = this.settings
    const options = backendOptions({ lease, retention: this.retention })
    const kept = keepOf(this.retention)
    // Of the options of a queue, the script takes no `true`.
    const keep = kept === true ? { count: 0 } : kept
    return { connection: this.#redis, prefix, ...options, removeOnComplete: keep, removeOnFail: keep }
  }

  ping(): Promise<unknown> {
    return this.#redis.ping()
  }

  async uptime(): Promise<number> {
    const seconds = /^uptime_in_seconds:(\d+)/m.exec(await this.#redis.info('server'))?.[1]
    return Math.max(0, Number(seconds ?? 0) - 1) * 1000
  }

  reconnect(): void {
    this.#redis.disconnect(true)
    this.#listener.disconnect(true)
  }

  publish(topic: string, text: string): void {
    this.#redis.publish(this.#key(topic), text).catch(() => {})
  }

  get schedules(): RedisSchedules {
    return new RedisSchedules(this.#redis, this.settings.prefix)
  }

  protected async enter(lock: string, member: string): Promise<Place> {
    const keys = this.#lockKeys(lock)
    const reply = await this.#redis.eval(JOIN, 2, ...keys, member, Date.now())
    const [head, since, isStopped] = reply as [string, string, number]
    return { isFirst: head === member, head, since: Number(since), isStopped: isStopped === 1 }
  }

  protected async exit(lock: string, member: string, stop: boolean): Promise<string | undefined> {
    const head = await this.#redis.eval(LEAVE, 2, ...this.#lockKeys(lock), member, stop ? '1' : '0')
    return (head as string | null) ?? undefined
  }

  async promote(queue: string, id: string): Promise<void> {
    // BullMQ's code for a job that is not delayed is what is to be passed over.
    await this.queue(queue)
      .backend.promote(id)
      .catch((error: unknown) => {
        if (Reflect.get(error as object, 'code') === undefined) throw error
      })
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.#closed.reject(new Error('The broker was closed before the store was reached.'))
    if (this.#redis === undefined) return
    await Promise.all(this.#backends.map((backend) => backend.close(true).catch(() => {})))
    await Promise.all([...this.#queues.values()].map((queue) => queue.close().catch(() => {})))
    this.#listener.disconnect()
    this.#redis.disconnect()
  }

  #key(name: string): string {
    return `${this.settings.prefix}:${name}`
  }

  // In a cluster both keys of a lock have to be on one node: the braces see to that.
  #lockKeys(lock: string): [string, string] {
    const key = this.#key(`line:{${lock}}`)
    return [key, `${key}:stopped`]
  }
}
