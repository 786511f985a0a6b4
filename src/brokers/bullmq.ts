/** `aftertask/bullmq`: jobs wait in Redis, Valkey or PostgreSQL, for any number of processes on any number of machines. */
import { refuseInThread } from '../rules/own-thread.ts'
import { expectPeer } from '../rules/peers.ts'
import { BullmqBroker } from './bullmq/bullmq-broker.ts'
import { type BullmqOptions, readBullmqOptions } from './bullmq/options.ts'
import { PostgresStore } from './bullmq/store/postgres/postgres-store.ts'
import { SUBPATH } from './bullmq/store/queue-options.ts'
import { RedisStore } from './bullmq/store/redis/redis-store.ts'
import type { Broker } from './port/broker.ts'

export type { BullmqOptions } from './bullmq/options.ts'

/**
 * Keeps jobs with BullMQ: at least once, from the moment `job.stored` has resolved, and whichever machine dies. The
 * connection is made with the runtime; while the store is away, adding a job throws BrokerUnavailableError (or buffers it,
 * with `whenDown: 'buffer'`), and the broker goes on by itself once the store is back. `ready()` resolves once it has
 * been reached. Its connections keep the process alive until
 * `stop()`, also while there is nothing to do: jobs of other processes may come.
 *
 * @throws OptionsInvalidError when an option is unknown or has a bad value; PeerMissingError when a package is not installed.
 */
export function bullmqBroker(options: BullmqOptions): Broker {
  refuseInThread('bullmqBroker')
  const settings = readBullmqOptions(options)
  expectPeer('bullmq', SUBPATH)
  expectPeer(settings.store === 'postgres' ? 'pg' : 'ioredis', SUBPATH)
  const store = settings.store === 'postgres' ? new PostgresStore(settings) : new RedisStore(settings)
  return new BullmqBroker(store, settings)
}
