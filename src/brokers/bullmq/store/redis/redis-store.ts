/** The store in Redis or Valkey. */
import type { IQueueBackend, Queue } from 'bullmq'
import type { Redis, RedisOptions } from 'ioredis'
import { peer } from '../../../../rules/peers.ts'
import { systemClock } from '../../../../words/clock.ts'
import { BrokerUnavailableError } from '../../../../words/errors.ts'
import { within } from '../../../lifecycle/retries.ts'
import type { BullmqSettings } from '../../options.ts'
import { BullmqStore } from '../bullmq-store.ts'
import { byTimeOf } from '../bullmq-time.ts'
import { backendOptions, keepOf, SUBPATH } from '../queue-options.ts'
import { isRefusal } from '../refusals.ts'
import type { Admitted, Opening, StoredEnding } from '../shared-store.ts'
import type { Entry } from '../source.ts'
import { writeTogether } from './coalesce.ts'
import { RedisEnds, type RedisQueue } from './ends.ts'
import { RedisQueueNames } from './queue-names.ts'
import { RedisSchedules } from './redis-schedules.ts'
import { RedisSource } from './redis-source.ts'
import { expectRights } from './rights.ts'
import { ENTER, LEAVE, lockKey, type Scripts, scriptsOf } from './scripts.ts'

// A script, since everything else is written by scripts too.
const PROBE = "return redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])"
const PROBED_FOR = 60_000
const LONGEST_CLOSE = 30_000
/** How long a connection that is ended may take to close, in milliseconds. */
const LAST_WORDS = 200
const ENTER_COMMAND = 'aftertask:enter'

type Enter = (this: Redis, ...args: (string | number)[]) => Promise<Admitted | 'lost'>

/** Redis and Valkey, through ioredis. */
export class RedisStore extends BullmqStore {
  readonly isOrdered = true
  protected readonly isJsonb = false
  readonly #queues = new Map<string, Queue>()
  readonly #backends: IQueueBackend[] = []
  #redis!: Redis
  #listener!: Redis
  #bullmq!: typeof import('bullmq')
  #scripts!: Scripts
  /** Rejects: a connection that is closed between two tries to connect says nothing. */
  readonly #closed = Promise.withResolvers<never>()

  constructor(settings: BullmqSettings) {
    super(settings)
    // It may be that nobody waits for it.
    this.#closed.promise.catch(() => {})
  }

  protected async connect(opening: Opening): Promise<void> {
    const { events, topics } = opening
    this.#bullmq = await peer('bullmq', SUBPATH, () => import('bullmq'))
    const ioredis = await peer('ioredis', SUBPATH, () => import('ioredis'))
    const { connection } = this.settings
    if (this.isClosed) return this.#closed.promise
    let fault: unknown = new Error('The connection is closed.')
    let waited = 0
    // A server that is gone or stands still would keep the process for two seconds after its stop.
    // BullMQ needs `null`: a command waits for the connection instead of failing after some tries.
    const own: RedisOptions = {
      maxRetriesPerRequest: null,
      disconnectTimeout: LAST_WORDS,
      retryStrategy: (times) => {
        if (!this.explain(fault).isPermanent) return Math.min(50 * 2 ** Math.min(times, 5), 500)
        waited = this.backOff(waited)
        return waited
      },
    }
    this.#redis =
      typeof connection === 'string'
        ? new ioredis.Redis(connection.replace(/^valkey/, 'redis'), own)
        : new ioredis.Redis({ ...(connection as RedisOptions), ...own })
    writeTogether(this.#redis)
    this.#redis.defineCommand(ENTER_COMMAND, { lua: ENTER, numberOfKeys: 0 })
    this.#scripts = scriptsOf(this.#redis)
    // It connects when it is first used: one connection is enough to find out that the password is wrong.
    // It subscribes again below: what ioredis does for that by itself is awaited by nobody, and would end the process if the
    // connection closed meanwhile.
    this.#listener = this.#redis.duplicate({ lazyConnect: true, autoResubscribe: false })
    this.#redis.on('error', (error: Error) => {
      fault = error
    })
    this.#redis.on('close', () => void (this.isClosed || events.down(this.explain(fault))))
    this.#redis.on('ready', () => {
      fault = new Error('The connection is closed.')
      waited = 0
    })
    // What it hears of the connection, the other one hears as well.
    this.#listener.on('error', () => {})
    this.#listener.on('message', (channel, text) => events.message(channel, text))
    const keys = topics.map((topic) => this.#key(topic))
    let hasStarted = false
    // What was sent before it listens again has not come: whoever missed it is told to look for itself.
    const heardAgain = (): void => {
      if (hasStarted && !this.isClosed && this.#redis.status === 'ready') events.up()
    }
    this.#listener.on('ready', () => void this.#listener.subscribe(...keys).then(heardAgain, () => {}))
    for (let wait = 0; !(await this.#tryToStart(keys, opening)); ) {
      wait = this.backOff(wait)
      await this.pause(wait)
    }
    this.#redis.on('ready', () => void (this.isClosed || events.up()))
    hasStarted = true
  }

  /** Does once what is needed all the time: a right that is missing is told at the start. */
  async #tryToStart(topics: readonly string[], { events, queues }: Opening): Promise<boolean> {
    const redis = this.#redis
    const start = async (): Promise<void> => {
      await this.#untilReady()
      await redis.info('server')
      await this.probe()
      await expectRights(redis, this.#key('probe:rights'))
      // What sets the database as a connection begins says nothing when there is none of that number.
      if ((redis.options.db ?? 0) > 0) await redis.select(redis.options.db ?? 0)
      await this.#names.add(queues)
      await this.#listener.subscribe(...topics)
      await redis.publish(this.#key('probe'), '')
    }
    const starting = start()
    // It may be that the broker is closed first.
    starting.catch(() => {})
    try {
      await Promise.race([starting, this.#closed.promise])
      return true
    } catch (error) {
      if (this.isClosed) throw error
      events.down(this.explain(error))
      return false
    }
  }

  #untilReady(): Promise<void> {
    if (this.#redis.status === 'ready') return Promise.resolve()
    return new Promise((resolve) => void this.#redis.once('ready', resolve))
  }

  queue(name: string): Queue {
    const known = this.#queues.get(name)
    if (known !== undefined) return known
    const queue = new this.#bullmq.Queue(name, this.#options() as never)
    // What it hears of the connection, the store hears as well.
    queue.on('error', () => {})
    byTimeOf(queue.backend, () => this.wall())
    this.#queues.set(name, queue)
    return queue
  }

  source(queue: string, name: string): RedisSource {
    // What is claimed with the end of another job gets its name from the options.
    const options = { ...this.#options(), name }
    const backend = this.#bullmq.createRedisBackend(queue, options as never, { withBlockingConnection: true })
    // What it hears of the connection, the store hears as well.
    backend.on('error', () => {})
    byTimeOf(backend, () => this.wall())
    this.#backends.push(backend)
    return new RedisSource(
      this.partsOf(queue, name, () => backend),
      this.#at(queue, name, () => backend),
    )
  }

  #at(queue: string, name: string, backend: () => IQueueBackend): RedisQueue {
    const { prefix, lease } = this.settings
    const leave = this.leave.bind(this)
    const [keep, wall] = [this.#keep.bind(this), this.wall.bind(this)]
    return {
      redis: this.#redis,
      scripts: this.#scripts,
      prefix,
      queue,
      name,
      lease,
      keep,
      wall,
      backend,
      leave,
    }
  }

  #keep(): { count: number; age?: number } {
    const kept = keepOf(this.keptNow)
    // Of the options of a queue, the script takes no `true`.
    return kept === true ? { count: 0 } : kept
  }

  #options(): object {
    const { lease, prefix } = this.settings
    const options = backendOptions({ lease, retention: this.retention })
    const keep = this.#keep()
    return { connection: this.#redis, prefix, ...options, removeOnComplete: keep, removeOnFail: keep }
  }

  /** The two keys are in different slots, which no node of a cluster takes in one command. */
  probe(): Promise<unknown> {
    return this.#redis.eval(PROBE, 2, this.#key('probe:{a}'), this.#key('probe:{b}'), PROBED_FOR)
  }

  async time(): Promise<number> {
    const [seconds, microseconds] = await this.#redis.time()
    return Number(seconds) * 1000 + Number(microseconds) / 1000
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
    // A message may get lost: nobody relies on one.
    this.#redis.publish(this.#key(topic), text).catch(() => {})
  }

  get schedules(): RedisSchedules {
    return new RedisSchedules(this.#redis, this.settings.prefix)
  }

  get #names(): RedisQueueNames {
    return new RedisQueueNames(this.#redis, this.settings.prefix)
  }

  protected queueNames(): Promise<readonly string[]> {
    return this.#names.all()
  }

  protected enter(entries: readonly Entry[]): Promise<(Admitted | 'lost')[]> {
    const { prefix } = this.settings
    const enter = Reflect.get(this.#redis, ENTER_COMMAND) as Enter
    const asked = entries.map(({ queue, id, locks, token = '' }) =>
      enter.call(this.#redis, prefix, `${queue}|${id}`, this.wall(), token, ...locks),
    )
    return Promise.all(asked)
  }

  async leave(lock: string, queue: string, id: string, stop: boolean): Promise<void> {
    const key = lockKey(this.settings.prefix, lock)
    const next = (await this.#redis.eval(LEAVE, 1, key, `${queue}|${id}`, stop ? '1' : '0')) as string | null
    if (next === null) return
    const at = next.indexOf('|')
    await this.promote(next.slice(0, at), next.slice(at + 1))
  }

  protected async promote(queue: string, id: string): Promise<void> {
    try {
      await this.queue(queue).backend.promote(id)
    } catch (error) {
      // It is on its way into the queue, or running already: then there is nothing to do.
      if (!isRefusal(error)) throw error
    }
  }

  protected async endWaiting(queue: string, id: string, ending: StoredEnding): Promise<boolean> {
    const { backend } = this.queue(queue)
    // BullMQ gives its scripts to the client once the queue is ready.
    await backend.waitUntilReady()
    const ends = new RedisEnds(this.#at(queue, '', () => backend))
    try {
      await ends.end({ id, token: `end:${id}`, ...ending, take: this.settings.lease })
      return true
    } catch (error) {
      if (isRefusal(error)) return false
      throw error
    }
  }

  async close(most = LONGEST_CLOSE): Promise<void> {
    this.isClosed = true
    this.wake()
    const what = 'The broker was closed before the store was reached.'
    this.#closed.reject(new BrokerUnavailableError('closed', what))
    if (this.#redis === undefined) return
    // Whatever cannot be closed in good order goes with its connection.
    await within(systemClock, most, this.#closeInOrder())
    this.#listener.disconnect()
    this.#redis.disconnect()
  }

  async #closeInOrder(): Promise<void> {
    await Promise.allSettled(this.#backends.map((backend) => backend.close(true)))
    await Promise.allSettled([...this.#queues.values()].map((queue) => queue.close()))
  }

  #key(name: string): string {
    return `${this.settings.prefix}:${name}`
  }
}
