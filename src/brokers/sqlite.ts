/** `aftertask/sqlite`: jobs wait in a file, and a job whose `stored` has resolved survives the process. */
import { z } from 'zod'
import { readOptions } from '../rules/options.ts'
import { refuseInThread } from '../rules/own-thread.ts'
import type { Broker } from './port/broker.ts'
import { journalPath } from './sqlite/journal-path.ts'
import { ThreadLink } from './sqlite/link.ts'
import { OWNER_ONLY } from './sqlite/settings.ts'
import { SqliteBroker } from './sqlite/sqlite-broker.ts'

const A_DAY = 86_400_000
const limit = z.union([z.number().min(0), z.literal(Number.POSITIVE_INFINITY)], {
  error: 'expected 0 or more, or Infinity',
})
const MODE_EXPECTED = 'expected permissions that let the owner read and write, such as 0o600 or 0o660'

const schema = z.strictObject({
  file: z.unknown().transform((given, context) => {
    try {
      return journalPath(given)
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message })
      return z.NEVER
    }
  }),
  durability: z.enum(['power', 'process'], { error: "expected 'power' or 'process'" }).default('power'),
  shared: z.boolean({ error: 'expected true or false' }).default(false),
  mode: z
    .int({ error: MODE_EXPECTED })
    .refine((mode) => mode >= 0 && mode <= 0o777 && (mode & OWNER_ONLY) === OWNER_ONLY, {
      error: MODE_EXPECTED,
    })
    .default(OWNER_ONLY),
  window: z.int({ error: 'expected a whole number of at least 1' }).min(1).optional(),
  retention: z
    .strictObject({ count: limit.optional(), age: limit.optional(), dead: limit.default(30 * A_DAY) })
    .prefault({}),
})

/** What `sqliteBroker` takes. */
export interface SqliteOptions {
  /**
   * The journal's file, on a local disk, as a path or a `file:` URL; it is made when it is missing. Beside it stand `-wal`,
   * `-shm` and `.lock`. A relative path starts at the working directory of this call.
   */
  file: string | URL
  /**
   * What an accepted job survives. `power` (default): the loss of power, since each commit waits for the disk;
   * `process`: the death of this process, but the last commits may be lost with the machine.
   */
  durability?: 'power' | 'process'
  /** True: several processes of this machine work on the file. Default false: it has one owner, and a second is refused. */
  shared?: boolean
  /**
   * The permissions of the files that it makes, as `chmod` takes them: the journal, `-wal`, `-shm` and `.lock`. Default
   * `0o600`: only the user of this process reads payloads. A file that is there keeps its own. On Windows it does nothing.
   */
  mode?: number
  /** Jobs of each pool that are in memory at a time. Default 4,096; 64 in a shared file, so that every process gets some. */
  window?: number
  /**
   * How many finished jobs are kept, and for how many milliseconds; default: as `createRuntime` says. `dead`: how long
   * dead jobs are kept, whatever their count; default 30 days.
   */
  retention?: { count?: number; age?: number; dead?: number }
}

/**
 * Keeps jobs in a SQLite file: at least once, from the moment `job.stored` has resolved. The file is opened with the
 * runtime: `ready()` rejects with JournalLockedError, JournalSchemaError, JournalCorruptError, SqliteVersionError or
 * BrokerUnavailableError when it cannot be used.
 *
 * @throws OptionsInvalidError when an option is unknown or has a bad value; BundledError when the code of its thread is
 * missing.
 */
export function sqliteBroker(options: SqliteOptions): Broker {
  refuseInThread('sqliteBroker')
  const { file, durability, shared, mode, window, retention } = readOptions(schema, options, 'sqliteBroker')
  const size = window ?? (shared ? 64 : 4096)
  const settings = { file, durability, isShared: shared, mode, window: size, retention }
  return new SqliteBroker(settings, new ThreadLink())
}

/**
 * A journal as it is, to be read only: beside the process that owns it, or after its end. What a runtime over it is asked to do is
 * not done; so it is for the edges of this package. @internal
 */
export function journalToRead(file: string): Broker {
  const retention = { dead: Number.POSITIVE_INFINITY }
  const settings = { file: journalPath(file), isShared: false, isReadOnly: true, window: 1, retention }
  return new SqliteBroker({ ...settings, durability: 'process' }, new ThreadLink())
}
