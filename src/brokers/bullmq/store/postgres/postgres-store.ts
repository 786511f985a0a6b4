/** The store in PostgreSQL: BullMQ's tables, two of our own for lines, and NOTIFY for messages. */
import type { Duplex } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { IQueueBackend, Queue } from 'bullmq'
import type { Client, Pool, PoolConfig } from 'pg'
import { peer } from '../../../../rules/peers.ts'
import { BrokerUnavailableError } from '../../../../words/errors.ts'
import { BullmqStore } from '../bullmq-store.ts'
import { byTimeOf } from '../bullmq-time.ts'
import { backendOptions, keepOf, SUBPATH } from '../queue-options.ts'
import { type Admitted, isBatchLock, type Opening, type StoredEnding } from '../shared-store.ts'
import type { Entry } from '../source.ts'
import { DEFINITIONS, UNKNOWN_FUNCTIONS } from './functions.ts'
import { PostgresSchedules } from './postgres-schedules.ts'
import { endArguments, type PostgresQueue, PostgresSource } from './postgres-source.ts'
import { expectSessions, poolConfig, sessionClient } from './session.ts'

const ENTER = 'select * from aftertask.enter($1, $2, $3, $4, $5, $6) as place'
const END_WAITING =
  'select aftertask.end_waiting($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) as "isDone"'
const QUEUES = 'select distinct queue from meta where starts_with(queue, $1)'
const FORGET_STOPS = `delete from aftertask.stopped_lines
  where since < extract(epoch from clock_timestamp() - interval '1 day') * 1000`
const TIME = 'select extract(epoch from clock_timestamp()) * 1000 as ms'
const UPTIME = 'select extract(epoch from clock_timestamp() - pg_postmaster_start_time()) * 1000 as ms'
// They change nothing, and fail where a write would: in a database that is read-only, or where a right or a table is missing.
const PROBE = `update job set name = name where false;
  update aftertask.schedules set definition = definition where false`
const LOOK_AGAIN = 250
const LONGEST_CLOSE = 30_000
// The codes of a table, a function and a schema that are not there: the database was made anew.
const MISSING: readonly unknown[] = ['42P01', '42883', '3F000']
// A NOTIFY carries less than 8,000 bytes.
const LONGEST_MESSAGE = 7900

/** PostgreSQL, through pg. */
export class PostgresStore extends BullmqStore {
  // Queries go through several connections.
  readonly isOrdered = false
  protected readonly isJsonb = true
  readonly #queues = new Map<string, Queue>()
  readonly #backends = new Map<string, IQueueBackend>()
  #bullmq!: typeof import('bullmq')
  #Client!: typeof Client
  #config!: PoolConfig
  #pool: Pool | undefined
  /** All connections: those of the pool, and the one that is listened on. */
  readonly #clients = new Set<Client>()
  #listener: Client | undefined
  /** The question that is not answered yet. */
  #probe: Promise<unknown> | undefined
  #events!: Opening['events']
  #topics: readonly string[] = []

  protected async connect({ events, topics, queues }: Opening): Promise<void> {
    this.#events = events
    this.#topics = topics
    this.#config = poolConfig(this.settings, queues.length)
    this.#bullmq = await peer('bullmq', SUBPATH, () => import('bullmq'))
    const module = await peer('pg', SUBPATH, () => import('pg'))
    const pg = module.default as unknown as typeof import('pg')
    if (this.isClosed) throw closedTooEarly()
    this.#Client = sessionClient(pg, this.settings.lease, (client) => this.#made(client))
    this.#pool = new pg.Pool({ ...this.#config, Client: this.#Client })
    // A connection that breaks while nobody uses it says so by events, which would end the process if unheard. The one that
    // is listened on tells whether the store is there.
    this.#pool.on('error', () => {})
    // Each queue listens to it.
    this.#pool.setMaxListeners(0)
    for (let wait = LOOK_AGAIN; !(await this.#tryToStart(pg)); wait = this.backOff(wait))
      await this.pause(wait)
  }

  #made(client: Client): void {
    client.on('error', () => {})
    this.#clients.add(client)
    client.once('end', () => this.#clients.delete(client))
  }

  async #tryToStart(pg: typeof import('pg')): Promise<boolean> {
    if (this.isClosed) throw closedTooEarly()
    try {
      await expectSessions(pg, this.#config)
      await this.#prepare()
      await this.#listen()
      return true
    } catch (error) {
      if (error instanceof UnknownFunctions) throw error
      this.#down(error)
      return false
    }
  }

  /** Makes what is not there yet. */
  async #prepare(): Promise<void> {
    const client = await (this.#pool as Pool).connect()
    try {
      await this.#bullmq.runMigrations(client as never)
      const { rows } = await client.query<{ name: string }>(UNKNOWN_FUNCTIONS)
      if (rows.length > 0) throw new UnknownFunctions(rows.map(({ name }) => name))
      await client.query(`begin; ${DEFINITIONS}; commit`)
      await client.query(FORGET_STOPS)
      await client.query(PROBE)
    } finally {
      client.release()
    }
  }

  /** The connection that is listened on is also what tells whether the store is there. */
  async #listen(): Promise<void> {
    const client = new this.#Client(this.#config)
    client.on('notification', ({ payload }) => this.#heard(payload ?? ''))
    // After an error comes the end.
    const lost = (): void => void this.#lost(client)
    client.once('end', lost)
    try {
      await client.connect()
      await client.query('listen aftertask')
      if (this.isClosed) throw closedTooEarly()
    } catch (error) {
      client.off('end', lost)
      // It may be broken already.
      client.end().catch(() => {})
      throw error
    }
    this.#listener = client
    this.#events.up()
  }

  async #lost(client: Client): Promise<void> {
    if (this.isClosed || this.#listener !== client) return
    this.#listener = undefined
    this.#down(new Error('The connection is closed.'))
    for (let wait = LOOK_AGAIN; ; wait = this.backOff(wait)) {
      await this.pause(wait)
      if (this.isClosed) return
      try {
        return await this.#listen()
      } catch (error) {
        this.#down(error)
      }
    }
  }

  #down(error: unknown): void {
    if (!this.isClosed) this.#events.down(this.explain(error))
  }

  #heard(payload: string): void {
    const end = payload.indexOf(' ')
    const topic = payload.slice(0, end)
    if (this.#topics.some((known) => this.#key(known) === topic)) {
      this.#events.message(topic, payload.slice(end + 1))
    }
  }

  queue(name: string): Queue {
    const known = this.#queues.get(name)
    if (known !== undefined) return known
    const { createPostgresBackend } = this.#bullmq
    const queue = new this.#bullmq.Queue(
      this.#name(name),
      this.#options() as never,
      createPostgresBackend as never,
    ) as unknown as Queue
    // Its queries fail as well, and are tried again.
    queue.on('error', () => {})
    byTimeOf(queue.backend, () => this.wall())
    return this.#keep(this.#queues, name, queue)
  }

  /**
   * BullMQ asks once whether the store is ready, and holds on to the answer: what was made while it was away would fail
   * for ever, so it is made again.
   */
  #keep<T extends Queue | IQueueBackend>(kept: Map<string, T>, name: string, made: T): T {
    kept.set(name, made)
    const forget = (): void => {
      if (kept.get(name) === made) kept.delete(name)
      // What never got ready has nothing to be closed in good order.
      made.close().catch(() => {})
    }
    made.waitUntilReady().catch(forget)
    return made
  }

  source(name: string, worker: string): PostgresSource {
    const options = { ...this.#options(), name: worker }
    const backend = (): IQueueBackend => {
      const known = this.#backends.get(name)
      if (known !== undefined) return known
      const blocking = { withBlockingConnection: true }
      const made = this.#bullmq.createPostgresBackend(this.#name(name), options as never, blocking)
      // Its queries fail as well, and are tried again.
      made.on('error', () => {})
      byTimeOf(made, () => this.wall())
      return this.#keep(this.#backends, name, made)
    }
    return new PostgresSource(this.partsOf(name, worker, backend), this.#pool as Pool, this.#at(name))
  }

  #at(name: string): PostgresQueue {
    const { lease } = this.settings
    const lockOf = this.#key.bind(this)
    return {
      name: this.#name(name),
      lease,
      keep: () => keepOf(this.keptNow),
      wall: () => this.wall(),
      lockOf,
    }
  }

  // BullMQ's queues in PostgreSQL have no prefix.
  #name(name: string): string {
    return `${this.settings.prefix}.${name}`
  }

  #options(): object {
    const options = backendOptions({ lease: this.settings.lease, retention: this.retention })
    return { connection: this.#pool, ...options }
  }

  /** The connection that is listened on is asked: nothing else can keep it busy. Who asks meanwhile shares the answer. */
  async probe(): Promise<unknown> {
    if (this.#listener === undefined) throw new Error('There is no connection.')
    this.#probe ??= this.#tryToWrite(this.#listener).finally(() => {
      this.#probe = undefined
    })
    return this.#probe
  }

  async #tryToWrite(client: Client): Promise<void> {
    try {
      await client.query(PROBE)
    } catch (error) {
      if (!MISSING.includes(Reflect.get(error as object, 'code'))) throw error
      await this.#prepare()
    }
  }

  async time(): Promise<number> {
    const { rows } = await (this.#pool as Pool).query<{ ms: string }>(TIME)
    return Number(rows[0]?.ms)
  }

  async uptime(): Promise<number> {
    const { rows } = await (this.#pool as Pool).query<{ ms: string }>(UPTIME)
    return Number(rows[0]?.ms ?? 0)
  }

  reconnect(): void {
    for (const client of this.#clients) breakOff(client)
  }

  publish(topic: string, text: string): void {
    const message = `${this.#key(topic)} ${text}`
    if (Buffer.byteLength(message) > LONGEST_MESSAGE) return
    // Queries can get through before the connection is back that is listened on. A message may get lost: nobody relies on one.
    this.#pool?.query("select pg_notify('aftertask', $1)", [message]).catch(() => {})
  }

  get schedules(): PostgresSchedules {
    return new PostgresSchedules(this.#pool as Pool, this.settings.prefix)
  }

  protected async queueNames(): Promise<readonly string[]> {
    const prefix = this.#name('')
    const { rows } = await (this.#pool as Pool).query<{ queue: string }>(QUEUES, [prefix])
    return rows.map(({ queue }) => queue.slice(prefix.length))
  }

  protected async enter(entries: readonly Entry[]): Promise<(Admitted | 'lost')[]> {
    const lockIn = ({ locks }: Entry, isLine: boolean): string | null => {
      const lock = locks.find((one) => isBatchLock(one) === isLine)
      return lock === undefined ? null : this.#key(lock)
    }
    const { rows } = await (this.#pool as Pool).query<{ place: Admitted | 'lost' }>(ENTER, [
      entries.map(({ queue }) => this.#name(queue)),
      entries.map(({ id }) => id),
      entries.map(({ token = '' }) => token),
      entries.map((entry) => lockIn(entry, true)),
      entries.map((entry) => lockIn(entry, false)),
      this.wall(),
    ])
    return rows.map(({ place }) => place)
  }

  leave(lock: string, queue: string, id: string, stop: boolean): Promise<void> {
    const key = this.#key(lock)
    return this.#together([
      ['select aftertask.hold($1)', [[key]]],
      ['select aftertask.leave($1, $2, $3, $4)', [key, `${this.#name(queue)}|${id}`, stop, this.wall()]],
    ])
  }

  protected promote(queue: string, id: string): Promise<void> {
    return this.#together([['select aftertask.promote($1, $2)', [this.#name(queue), id]]])
  }

  protected async endWaiting(queue: string, id: string, ending: StoredEnding): Promise<boolean> {
    const end = { id, token: `end:${id}`, ...ending }
    const { rows } = await (this.#pool as Pool).query<{ isDone: boolean }>(
      END_WAITING,
      endArguments(this.#at(queue), [end], ''),
    )
    return rows[0]?.isDone === true
  }

  /** Runs queries in one transaction. */
  async #together(queries: readonly [string, unknown[]][]): Promise<void> {
    const client = await (this.#pool as Pool).connect()
    let fault: Error | undefined
    try {
      await client.query('begin')
      for (const [text, values] of queries) await client.query(text, values)
      await client.query('commit')
    } catch (error) {
      fault = error as Error
      throw error
    } finally {
      // A connection in the middle of a transaction is of no use to anybody else.
      client.release(fault)
    }
  }

  async close(most = LONGEST_CLOSE): Promise<void> {
    this.isClosed = true
    this.wake()
    if (this.#pool === undefined) return
    // Whoever waits for a server that hangs is told that no answer will come.
    const timer = setInterval(() => this.reconnect(), Math.min(this.settings.patience, Math.max(1, most)))
    try {
      // A connection that is broken has ended.
      await this.#listener?.end().catch(() => {})
      // What waits for an idle connection gets it in this turn; a pool that ends gives out none.
      await setImmediate()
      const ended = Promise.allSettled([this.#pool.end()])
      await Promise.all([...this.#backends.values(), ...this.#queues.values()].map(closeOnceReady))
      await ended
    } finally {
      clearInterval(timer)
    }
  }

  #key(name: string): string {
    return `${this.settings.prefix}:${name}`
  }
}

class UnknownFunctions extends BrokerUnavailableError {
  constructor(names: readonly string[]) {
    const what = `BullMQ's functions in PostgreSQL are others than this version of aftertask knows: ${names.join(', ')}.`
    super('unsupported', `${what} Install a version of bullmq that it was tested with.`)
  }

  override get name(): string {
    return 'BrokerUnavailableError'
  }
}

function closedTooEarly(): Error {
  return new BrokerUnavailableError('closed', 'The broker was closed before the store was reached.')
}

/** BullMQ forgets the connection that it takes while it gets ready, when it is closed meanwhile: the pool would not end. */
async function closeOnceReady(made: Queue | IQueueBackend): Promise<void> {
  await Promise.allSettled([made.waitUntilReady()])
  await Promise.allSettled([made.close()])
}

/** Ends a connection without a word: whoever waits for an answer on it is told that there will be none. */
function breakOff(client: Client): void {
  const { stream } = Reflect.get(client, 'connection') as unknown as { stream: Duplex }
  stream.destroy()
}
