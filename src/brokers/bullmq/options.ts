/** What `bullmqBroker` takes. */
import { z } from 'zod'
import { readOptions } from '../../rules/options.ts'
import { withoutCredentials } from '../../rules/secrets.ts'
import { describeValue, OptionsInvalidError } from '../../words/errors.ts'
import type { BrokerHost } from '../port/host.ts'

// Nobody has asked for it.
const DEFAULT_AGEING = 1000

/** Connections that are needed besides one for each queue, which waits there for jobs. */
export const FOR_QUERIES = 2

const URL_EXPECTED = "expected a URL such as 'redis://localhost:6379', or the options of ioredis or pg"

const schema = z.strictObject({
  connection: z.union([z.string().min(1, URL_EXPECTED), z.record(z.string(), z.unknown())], {
    error: URL_EXPECTED,
  }),
  store: z.enum(['redis', 'postgres'], { error: "expected 'redis' or 'postgres'" }).optional(),
  prefix: z
    .string({ error: 'expected a string' })
    .regex(/^[\w-]{1,40}$/, 'expected 1 to 40 letters, digits, _ or -')
    .default('aftertask'),
  role: z
    .enum(['both', 'producer', 'worker'], { error: "expected 'both', 'producer' or 'worker'" })
    .default('both'),
  pools: z
    .array(z.string({ error: 'expected the name of a pool' }), { error: 'expected an array of pool names' })
    .optional(),
  whenDown: z.enum(['refuse', 'buffer'], { error: "expected 'refuse' or 'buffer'" }).default('refuse'),
  buffer: z.int({ error: 'expected a whole number of at least 1' }).min(1).default(10_000),
  lease: z
    .number({ error: 'expected milliseconds as a number' })
    .min(500, 'expected milliseconds, 500 or more')
    .default(30_000),
  patience: z
    .number({ error: 'expected milliseconds as a number' })
    .min(100, 'expected milliseconds, 100 or more')
    .default(5000),
  prefetch: z.int({ error: 'expected a whole number, 0 or more' }).min(0).default(0),
})

/** What `bullmqBroker` takes. */
export interface BullmqOptions {
  /**
   * Where the store is: a URL (`redis://`, `rediss://`, `valkey://`, `postgres://`, `postgresql://`), or the options of
   * ioredis or of `pg.Pool`.
   */
  connection: string | Record<string, unknown>
  /** What the store is. Default: as the URL says, and `redis` when `connection` is an object. */
  store?: 'redis' | 'postgres'
  /** What the names of all queues start with: processes with the same prefix share their jobs. Default `aftertask`. */
  prefix?: string
  /** `producer`: adds jobs and runs none, so that it needs no threads; `worker`, `both` (default): runs jobs as well. */
  role?: 'both' | 'producer' | 'worker'
  /** The pools whose jobs this process runs. Default: all pools that its tasks name. */
  pools?: string[]
  /** While the store is away, adding a job throws (`refuse`, the default), or keeps it in memory until the store is back. */
  whenDown?: 'refuse' | 'buffer'
  /** Jobs to keep in memory at most with `whenDown: 'buffer'`. Default 10,000. */
  buffer?: number
  /** Milliseconds that a job belongs to a process which does not renew it; then another runs it. Default 30,000. */
  lease?: number
  /**
   * Milliseconds that the store may leave a question unanswered until it counts as away, as one does whose connections
   * are cut. After three times as long, new connections are tried. Default 5,000.
   */
  patience?: number
  /**
   * Jobs of each pool to take beyond what its threads can run at once. Default 0: a job that waits, waits in the store,
   * where any process can take it. A flood of jobs below a millisecond goes faster with some hundreds.
   */
  prefetch?: number
}

/** The options with every default filled in. */
export type BullmqSettings = z.output<typeof schema> & { readonly store: 'redis' | 'postgres' }

/** What the broker itself goes by, wherever its store is. */
export type BrokerSettings = Omit<BullmqSettings, 'connection' | 'store' | 'prefix'>

/** What is to be told of options that have no effect over BullMQ; undefined for nothing. */
export function ignoredOptions({
  ageing,
  entries,
}: Pick<BrokerHost, 'ageing' | 'entries'>): string | undefined {
  const names = entries.flatMap(({ task }) => (task.policy.retention === undefined ? [] : task.name))
  const ignored = [
    // BullMQ has priorities without ageing, which is what 0 asks for.
    ...(ageing === 0 || ageing === DEFAULT_AGEING
      ? []
      : ['priorityAgeing: a larger priority always goes first']),
    ...(names.length === 0 ? [] : [`retention of the tasks ${names.join(', ')}: that of the runtime counts`]),
  ]
  return ignored.length === 0 ? undefined : `bullmqBroker has no use for ${ignored.join('; and for ')}`
}

/** @throws OptionsInvalidError when an option is unknown or has a bad value. */
export function readBullmqOptions(options: BullmqOptions): BullmqSettings {
  // A URL may hold a password, which no message is to repeat.
  if (typeof options === 'string') {
    throw new OptionsInvalidError(
      'bullmqBroker: the options are a string; expected an object. Write bullmqBroker({ connection: url }).',
    )
  }
  const read = readOptions(schema, options, 'bullmqBroker')
  const { connection } = read
  const store = read.store ?? storeOf(connection)
  if (typeof connection === 'string') checkUrl(connection)
  else if (store === 'postgres') checkMax(connection)
  return { ...read, store }
}

/** A URL that cannot be read would be taken for another one, with parts of its password for a host. */
function checkUrl(connection: string): void {
  if (!connection.includes('://') || URL.canParse(connection)) return
  throw new OptionsInvalidError(
    `bullmqBroker: option "connection" is ${describeValue(withoutCredentials(connection))}, which is no URL; write what is special in a user or a password with encodeURIComponent.`,
    'connection',
  )
}

function storeOf(connection: string | Record<string, unknown>): 'redis' | 'postgres' {
  if (typeof connection !== 'string' || /^(?:redis|valkey)s?:\/\//.test(connection)) return 'redis'
  if (/^postgres(?:ql)?:\/\//.test(connection)) return 'postgres'
  const host = /^[\w.-]+(?::\d+)?(?:\/.*)?$/.exec(connection)?.[0]
  const remedy =
    host === undefined ? 'Or say which "store" it is.' : `Write redis://${host} or postgres://${host}.`
  throw new OptionsInvalidError(
    `bullmqBroker: option "connection" is ${describeValue(withoutCredentials(connection))}; expected a URL that starts with redis://, rediss://, valkey://, postgres:// or postgresql://. ${remedy}`,
    'connection',
  )
}

/** @throws OptionsInvalidError when a pool would have fewer connections than `least`. */
export function checkMax(config: object, least = 1 + FOR_QUERIES): void {
  const max: unknown = Reflect.get(config, 'max') ?? Reflect.get(config, 'poolSize')
  if (max === undefined || (typeof max === 'number' && Number.isInteger(max) && max >= least)) return
  const what = `bullmqBroker: option "connection.max" is ${typeof max === 'number' ? max : 'no whole number'}`
  const why = `each queue waits on a connection of its own, and ${FOR_QUERIES} more are needed for all else`
  throw new OptionsInvalidError(`${what}; expected ${least} or more: ${why}.`, 'connection.max')
}
