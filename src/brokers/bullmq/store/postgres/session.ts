/**
 * How a connection to PostgreSQL begins. Where BullMQ's tables are is said by `SET`, once it is there, and not among the
 * options that it starts with: pgbouncer takes none, and what a user gives there comes last.
 */
import type { Client, PoolConfig } from 'pg'
import { checkMax, FOR_QUERIES } from '../../options.ts'
import { StoreFault } from '../faults.ts'

type Pg = typeof import('pg')

// A server that hangs takes connections and says nothing: so many times the patience.
const LONGEST_CONNECT = 3
// A pool has so many connections at most, or as many as are needed and so many beside them.
const MOST_CONNECTIONS = 20
const BESIDE = 4
/** What `bullmqBroker` was given, as far as a connection needs it. */
export interface SessionSettings {
  readonly connection: string | Record<string, unknown>
  readonly role: 'both' | 'producer' | 'worker'
  /** Milliseconds. */
  readonly lease: number
  /** Milliseconds. */
  readonly patience: number
}

/**
 * The options of a pool that serves so many queues.
 *
 * @throws OptionsInvalidError when it has too few connections for that.
 */
export function poolConfig(settings: SessionSettings, queues: number): PoolConfig {
  const { connection, patience, role } = settings
  const given: PoolConfig =
    typeof connection === 'string' ? { connectionString: connection } : (connection as PoolConfig)
  const least = (role === 'producer' ? 1 : queues) + FOR_QUERIES
  checkMax(given, least)
  return {
    max: Math.max(MOST_CONNECTIONS, least + BESIDE),
    keepAlive: true,
    connectionTimeoutMillis: LONGEST_CONNECT * patience,
    ...given,
  }
}

/** A class of connections that begin with what is to hold for each. `made` hears of each at once. */
export function sessionClient(pg: Pg, lease: number, made: (client: Client) => void): typeof Client {
  // A process that stands still in a transaction must not hold up the others for longer than its lease lasts.
  const begin = `set search_path = bullmq; set idle_in_transaction_session_timeout = ${Math.ceil(lease)}`
  return class SessionClient extends pg.Client {
    constructor(config: PoolConfig) {
      super(config)
      made(this)
    }

    // A pool calls it with a callback, all others wait for the promise.
    override connect(callback?: unknown): never {
      const connected = this.#begin()
      const call = callback as ((error?: Error) => void) | undefined
      if (call !== undefined) connected.then(() => call(), call)
      return connected as never
    }

    async #begin(): Promise<this> {
      await super.connect()
      try {
        await this.query(begin)
      } catch (error) {
        // The pool takes it for one that never was.
        this.end().catch(() => {})
        throw error
      }
      return this
    }
  } as unknown as typeof Client
}

/**
 * Finds out whether a pooler gives the connections of this process to others between two statements: nothing that is set
 * for a session, and no LISTEN, lasts there.
 *
 * @throws StoreFault when it does.
 */
export async function expectSessions(pg: Pg, config: PoolConfig): Promise<void> {
  const clients = [new pg.Client(config), new pg.Client(config)]
  try {
    const pids: unknown[] = []
    for (const client of clients) {
      client.on('error', () => {})
      await client.connect()
      // Within a transaction the connection is its own, in either way of pooling.
      const [, { rows }] = (await client.query('begin; select pg_backend_pid() as pid')) as never as [
        unknown,
        { rows: { pid: number }[] },
      ]
      pids.push(rows[0]?.pid)
      if (client === clients[0]) await client.query('rollback')
    }
    if (pids[0] === pids[1]) throw new StoreFault('unsupported', POOLED, { isPermanent: true })
  } finally {
    for (const client of clients) client.end().catch(() => {})
  }
}

const POOLED =
  'The connections are shared between transactions, and what is set for a session is lost: let pgbouncer pool by session (pool_mode = session), or connect to PostgreSQL itself.'
